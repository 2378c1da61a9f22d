"""The stream processor: measurements from Kafka, through the model, back into the log as events.

`worker` polls, and owns the group's partitions. `batch` reads what comes (`records`), knows what is new (`partition`)
and what came before (`windows`). `delivery` has it scored (`results`) and stored (`sender`), and writes down what
nobody can handle (`dead_letters`). The offset moves last.
"""
