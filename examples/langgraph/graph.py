"""Two nodes: one that counts and needs nobody, one that asks a model."""

import os
from importlib.metadata import version
from typing import TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    question: str
    words: int
    answer: str | None


def count(state: State) -> State:
    words = len(state["question"].split())
    print(f"langgraph {version('langgraph')}, {words} words: {state['question']}", flush=True)
    return {"words": words}


def answer(state: State) -> State:
    # Without a key the call is made all the same, and told what is missing.
    model = ChatOpenAI(model="gpt-4.1-mini", api_key=os.environ.get("OPENAI_API_KEY", "none"), max_retries=0)
    try:
        return {"answer": str(model.invoke(state["question"]).content)}
    except Exception as error:  # noqa: BLE001  each provider has errors of its own
        print(f"LLM call: no provider is reachable ({type(error).__name__}: {error})")
        return {"answer": None}


def make_graph() -> StateGraph:
    made = StateGraph(State)
    made.add_node("count", count)
    made.add_node("answer", answer)
    made.add_edge(START, "count")
    made.add_edge("count", "answer")
    made.add_edge("answer", END)
    return made


graph = make_graph().compile()
