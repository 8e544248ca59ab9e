"""What crosses the wire and what a row is: msgspec Structs that import nothing of ours."""
