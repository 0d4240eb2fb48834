"""The room of the model: a prompt in, text out. llama.cpp runs in a worker process, behind one protocol."""
