"""An agent with one tool, of the OpenAI Agents SDK; it is asked once."""

import json
import os
from importlib.metadata import version
from pathlib import Path

from agents import Agent, Runner, function_tool, set_tracing_disabled


@function_tool
def letters(word: str) -> int:
    """Count the letters of a word."""
    return len(word)


def main() -> None:
    question = str(json.loads(Path(os.environ["SKEP_INPUT"]).read_text())["question"])
    # Nothing is sent to the SDK's makers; without a key the call is made all the same, and told what is missing.
    set_tracing_disabled(disabled=True)
    os.environ.setdefault("OPENAI_API_KEY", "none")
    helper = Agent(name="helper", instructions="Answer in one sentence.", tools=[letters], model="gpt-4.1-mini")
    print(f"openai-agents {version('openai-agents')}, agent {helper.name}: {question}", flush=True)
    try:
        answer = Runner.run_sync(helper, question).final_output
    except Exception as error:  # noqa: BLE001  each provider has errors of its own
        print(f"LLM call: no provider is reachable ({type(error).__name__}: {error})")
        answer = None
    Path(os.environ["SKEP_OUTPUT"]).write_text(json.dumps({"question": question, "answer": answer}))


if __name__ == "__main__":
    main()
