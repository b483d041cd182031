"""Which commit made a quantity worse: bisection by git, each step judged by the gate."""
