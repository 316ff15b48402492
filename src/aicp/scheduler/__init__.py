"""Every pure decision: placement and replica steps. Answers or reasons, no input or output."""
