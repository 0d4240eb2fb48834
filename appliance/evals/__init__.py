"""The room of the evaluation: a release's own questions, asked through the real pipeline, and what came of them."""
