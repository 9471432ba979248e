"""What --status says: means of points, and nothing under way once the sweep has ended."""

import json

from cl_sparse.cli import main

STATE = {"experiment": "net", "phase": "try", "seconds": 1.0}


def shown(folder, capsys, *events):
    plan = {"event": "plan", "planned": {"net": 5}}
    lines = [json.dumps(event) for event in (plan, *({**STATE, **event} for event in events))]
    (folder / "manifest.jsonl").write_text("\n".join([*lines, ""]))
    assert main(["sweep", "--status", str(folder)]) == 0
    return capsys.readouterr().out


def test_the_best_is_a_mean_over_seeds(tmp_path, capsys):
    worths = {(0, 7): 0.9, (0, 8): 0.1, (1, 7): 0.6, (1, 8): 0.7}
    finished = [{"event": "finished", "point": p, "seed": s, "worth": w} for (p, s), w in worths.items()]
    out = shown(tmp_path, capsys, *finished)
    assert "best mean so far" in out
    assert "0.6500" in out


def test_nothing_is_under_way_after_the_end(tmp_path, capsys):
    begun = {"event": "begun", "point": 0, "seed": 7}
    assert "under way since" in shown(tmp_path, capsys, begun)
    out = shown(tmp_path, capsys, begun, {"event": "end", "line": "interrupted: the same command goes on"})
    assert "under way since" not in out
    assert "interrupted: the same command goes on" in out
