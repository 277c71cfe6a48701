"""The error tree: stable, distinct codes, and leaves only below one root."""

from citrus_agent.core import errors
from citrus_agent.core.dialogue import error_reply

CODES = {
    "CitrusError": "citrus_error", "InputError": "input_error", "UsageError": "usage_error", "ToolError": "tool_error",
    "ContractRefusal": "contract_refusal", "ToolArgumentError": "tool_argument", "ToolFailure": "tool_failure",
    "ToolTimeout": "tool_timeout",
    "PlannerError": "planner_error", "BudgetExceeded": "budget_exceeded", "Interrupted": "interrupted", "TraceError": "trace_error",
    "ConfigurationError": "configuration_error", "ResourceError": "resource_error",
}  # fmt: skip


def test_codes_are_stable_and_distinct():
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert {name: value.code for name, value in classes.items()} == CODES
    assert all(issubclass(value, errors.CitrusError) for value in classes.values())


def test_every_class_is_in_the_drawn_tree():
    assert all(f" {name} " in f" {errors.__doc__} ".replace("\n", " ") for name in CODES)


def test_what_the_planner_sees():
    refusal = errors.ContractRefusal("needs modality US, the study is CT", field="modality")
    assert error_reply(refusal) == "error contract_refusal: needs modality US, the study is CT"
    assert refusal.field == "modality"
    assert errors.BudgetExceeded("16 steps are used up", budget="steps").budget == "steps"
