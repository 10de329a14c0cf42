"""
What is known of models: windows, limits, capabilities, prices, retirement, each with its source.

    entry      one model of the catalogue; the shipped files and imports are made of these
    shipped    the files that come with the project: models.toml (by hand), prices.json (made)
    vendors    which vendor a provider is, and so whose models its ids are
    metadata   what operators state of one provider model
    effective  who wins, fact by fact, and where each fact comes from
    imports    models.dev- and LiteLLM-shaped files -> entries
    refresh    the genai-prices package -> prices.json (maintainers)

A fact without a source is unknown, and unknown refuses nobody.
"""
