"""How the world reaches Skep: translate, call a service, translate back."""
