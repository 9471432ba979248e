import numpy as np
import torch


def test_a_nan_loss_stops_the_run_names_the_step_and_keeps_finished_tasks(make_run, tmp_path):
    run = make_run()
    train = run._train

    def poison(task):
        if task == 2:
            with torch.no_grad():
                next(run.learner.model.parameters())[0] = torch.nan
        train(task)

    run._train = poison
    stats = run.run(tmp_path / "c.pt")
    assert "task 2, epoch 0, step 0" in stats["stopped"]
    assert not np.isnan(stats["accs"][:2]).any()
    assert np.isnan(stats["accs"][2:]).all()


def test_an_exploding_learning_rate_is_caught(make_run, tmp_path):
    stats = make_run(lr=1e6, hidden_layers=3).run(tmp_path / "c.pt")
    assert stats["stopped"] is not None
