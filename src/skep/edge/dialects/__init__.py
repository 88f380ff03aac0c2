"""Other products' APIs: aliases over the same services, behind the same check. They keep nothing and decide nothing."""
