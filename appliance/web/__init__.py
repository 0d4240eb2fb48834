"""The page and the API: what a phone sees. Answers are made and kept elsewhere; closing a page loses none."""
