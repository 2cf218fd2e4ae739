"""The comparison of methods: cells, the networks that they share, and the tasks of its flow."""
