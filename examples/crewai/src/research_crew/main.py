"""Kicks the crew off with what the run was given."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

# Nothing is sent to CrewAI's makers; without a key the call is made all the same, and told what is missing.
os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OTEL_SDK_DISABLED", "true")
os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")
os.environ.setdefault("OPENAI_API_KEY", "none")

from research_crew.crew import ResearchCrew


def run() -> None:
    inputs = json.loads(Path(os.environ["SKEP_INPUT"]).read_text())
    print(f"crewai {version('crewai')} on Python {platform.python_version()}, topic: {inputs['topic']}", flush=True)
    crew = ResearchCrew().crew()
    print("tasks: " + ", ".join(task.name for task in crew.tasks), flush=True)
    try:
        report = crew.kickoff(inputs=inputs).raw
    except Exception as error:  # noqa: BLE001  each provider has errors of its own
        print(f"LLM call: no provider is reachable ({type(error).__name__}: {error})")
        report = None
    Path(os.environ["SKEP_OUTPUT"]).write_text(json.dumps({"topic": inputs["topic"], "report": report}))
