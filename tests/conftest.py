"""Options and fixtures that every folder of tests may use."""

pytest_plugins = ("plugins.require", "plugins.build", "plugins.isa", "plugins.interpret")
