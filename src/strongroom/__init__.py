"""strongroom delivers ML models to devices their owner does not control, and keeps them protected."""

__version__ = "0.1.0"
