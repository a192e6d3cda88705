from hypothesis import settings

pytest_plugins = ["pytester"]

# How long an example takes says nothing on a busy machine.
settings.register_profile("unhurried", parent=settings(), deadline=None)
settings.load_profile("unhurried")
