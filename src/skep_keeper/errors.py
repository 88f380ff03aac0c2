"""What the keeper answers when it does not do what it was asked."""


class KeeperError(Exception):
    """A refusal or a failure: `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BadRequestError(KeeperError):
    """The request is not in the vocabulary; nothing was done."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_request", message)


class NotFoundError(KeeperError):
    """There is no such sandbox, layer or file."""

    def __init__(self, message: str) -> None:
        super().__init__("not_found", message)


class ConflictError(KeeperError):
    """What exists forbids it."""

    def __init__(self, message: str, code: str = "conflict") -> None:
        super().__init__(code, message)


class StartError(Exception):
    """The machine or the folders are not fit; the keeper does not start."""
