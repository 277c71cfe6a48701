"""The one error tree. Each leaf says who acts; exit codes belong to the command line, not here.

CitrusError
├── InputError                 user: the file or study cannot be used
├── UsageError                 user: the call is wrong (unknown tool, bad argument)
├── ToolError
│   ├── ContractRefusal        planner is told: the study does not meet the tool's input contract
│   ├── ToolArgumentError      planner retries: an argument is wrong
│   ├── ToolFailure            planner is told: the tool raised or returned nonsense
│   └── ToolTimeout            planner is told: the tool ran past its limit
├── PlannerError               developer: the planner's reply could not be used
├── BudgetExceeded             user: raise the budget, or take what there is
├── Interrupted                user: run again with --resume
├── TraceError                 user: the trace does not verify or cannot be read
├── ConfigurationError         developer: settings or assembly are wrong
└── ResourceError              operator: weights, packages or disk are missing
"""

from __future__ import annotations


class CitrusError(Exception):
    """Base of all errors. ``code`` is stable and machine readable; the message says what to do."""

    code = "citrus_error"


class InputError(CitrusError):
    """The user acts: the file or study cannot be used."""

    code = "input_error"


class UsageError(CitrusError):
    """The user acts: the call itself is wrong."""

    code = "usage_error"


class ToolError(CitrusError):
    """A tool did not give a result. Never leaves the graph: it becomes a message to the planner and an event."""

    code = "tool_error"


class ContractRefusal(ToolError):
    """The planner is told: the study does not meet the tool's input contract. ``field`` names what failed."""

    code = "contract_refusal"

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class ToolArgumentError(ToolError):
    """The planner retries: an argument is wrong."""

    code = "tool_argument"


class ToolFailure(ToolError):
    """The planner is told: the tool raised or returned something that is not evidence (NaN, say)."""

    code = "tool_failure"


class ToolTimeout(ToolError):
    """The planner is told: the tool ran past its time limit."""

    code = "tool_timeout"


class PlannerError(CitrusError):
    """The developer acts: the planner's reply could not be used."""

    code = "planner_error"


class BudgetExceeded(CitrusError):
    """The user acts: a budget of steps, seconds or tokens is used up. ``budget`` names it."""

    code = "budget_exceeded"

    def __init__(self, message: str, budget: str) -> None:
        super().__init__(message)
        self.budget = budget


class Interrupted(CitrusError):
    """The user acts: the run was stopped; run again with ``--resume``."""

    code = "interrupted"


class TraceError(CitrusError):
    """The user acts: a trace cannot be read or does not verify."""

    code = "trace_error"


class ConfigurationError(CitrusError):
    """The developer acts: settings or assembly are wrong."""

    code = "configuration_error"


class ResourceError(CitrusError):
    """The operator acts: weights, a package or disk space are missing; the message names the command that mends it."""

    code = "resource_error"
