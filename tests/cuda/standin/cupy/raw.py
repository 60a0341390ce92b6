"""RawModule of the stand-in."""


class RawModule:
    """Placeholder until the emulator is here."""

    def __init__(self, **given):
        raise NotImplementedError
