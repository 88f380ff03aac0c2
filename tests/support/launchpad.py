"""What a front end of Launchpad sends, and what it takes for an error."""

URL = "https://github.com/me/crew"
SCHEMA = {"type": "object", "properties": {"topic": {}, "year": {"type": "integer"}}}


def crew(user="ann", name="My crew", url=URL, **envs):
    """Return what a front end sends to make an agent."""
    return {"userId": user, "config": {"agentName": name, "githubUrl": url, "envs": envs}}


def is_fault(answer, status):
    """Tell whether an answer is an error as Launchpad's clients know it, and nothing else."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json"), answer.text
    assert set(answer.json) == {"error", "status_code"}
    assert answer.json["status_code"] == status
    assert answer.json["error"]
    return True
