"""The collector: takes reports in, and says 2xx only when they are durable."""
