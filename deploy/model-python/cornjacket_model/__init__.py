"""A place for models: scores windows of time series over HTTP, or measurements as they come by on Kafka."""
