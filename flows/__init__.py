"""What a person, a ticket or a schedule starts. Each flow reads top to bottom like a recipe."""
