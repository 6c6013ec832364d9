"""What is asked of a batch system: never too much, never what ends work, and never nothing where there is work."""

from __future__ import annotations

import random
from typing import Any

import pytest
from site_of_jobs import Site

from stargazer.client.hires import Ask, Cancel, Limits, Pool, Present, Retire, State, Submit, Told
from stargazer.client.staffing import Staffing

FAULTS = ("refuse", "hang", "empty", "late", "killed", "wrong")


def staffing(**limits: Any) -> Staffing:
    return Staffing({"slurm": Pool("slurm", 10.0)}, Limits(**limits), "stargazer-x")


def hired(number: int, **limits: Any) -> tuple[Staffing, list[str]]:
    """A staffing whose workers are all here."""
    staff = staffing(**limits)
    names: list[str] = []
    for second in range(number):
        for action in staff.look(second, {}, {"slurm": number}):
            if isinstance(action, Submit):
                names += action.names
                staff.taken(action.names, [f"1{name[-1]}" for name in action.names], second)
    staff.look(number, here(names), {"slurm": number})
    return staff, names


def here(names: list[str], busy: tuple[str, ...] = (), rests: float = 0.0) -> dict[str, Present]:
    return {name: Present(None if name in busy else rests) for name in names}


def kinds(actions: list[Any]) -> list[type]:
    return [type(action) for action in actions]


def test_only_workers_that_rest_are_given_back() -> None:
    staff, names = hired(4)
    assert len(names) == 4
    busy = tuple(names[:3])
    assert staff.look(20, here(names, busy, 9.0), {"slurm": 2}) == []
    assert staff.look(21, here(names, busy, 10.0), {"slurm": 2}) == [Retire((names[3],))]
    for second in range(22, 400):
        assert staff.look(second, here(names[:3], busy), {"slurm": 2}) == []


def test_a_worker_that_was_given_something_while_it_was_asked_to_go_stays() -> None:
    staff, names = hired(2)
    assert staff.look(30, here(names, rests=11.0), {"slurm": 1}) == [Retire((names[0],))]
    staff.retired(names[0], 31, went=False)
    assert staff.hires[names[0]].state is State.HERE
    assert kinds(staff.look(32, here(names, (names[0],), 12.0), {"slurm": 1})) == [Retire]


def test_jobs_that_wait_go_before_workers_that_rest() -> None:
    staff = staffing()
    for second in (0, 1):
        (submit,) = staff.look(second, {}, {"slurm": 2})
        staff.taken(submit.names, [f"{second}"], second)  # type: ignore[union-attr]
    first, second_name = staff.hires
    present = {first: Present(100.0)}
    staff.look(20, present, {"slurm": 1})
    actions = staff.look(31, present, {"slurm": 1})
    assert Cancel((second_name,)) in actions
    assert staff.hires[first].state is State.HERE


def test_what_is_given_up_is_forgotten_only_when_that_is_confirmed() -> None:
    staff, (name,) = hired(1)
    staff.look(50, here([name], rests=20.0), {"slurm": 0})
    staff.retired(name, 50, went=True)
    assert staff.look(51, {}, {"slurm": 0}) == [Cancel((name,))]
    staff.not_cancelled([name], "Socket timed out", 51)
    assert _tried(staff, name, range(52, 120))[:4] == [53, 57, 65, 81]
    assert "Socket timed out" in str(staff.trouble)
    assert staff.hires[name].state is State.LEAVING


def test_at_the_end_somebody_waits_so_no_pause_is_long() -> None:
    staff, (name,) = hired(1)
    staff.look(50, here([name], rests=20.0), {"slurm": 0})
    staff.retired(name, 50, went=True)
    _tried(staff, name, range(51, 100))  # the next would be at 113
    staff.leave_all(100)
    assert _tried(staff, name, range(100, 121)) == [105, 110, 115, 120]


def _tried(staff: Staffing, name: str, seconds: range) -> list[int]:
    """When jobs are cancelled, where the batch system refuses it each time."""
    tried = []
    for second in seconds:
        if Cancel((name,)) in staff.look(second, {}, {"slurm": 0}):
            staff.not_cancelled([name], "Socket timed out", second)
            tried.append(second)
    return tried


def test_a_job_that_the_listing_still_has_is_cancelled_again() -> None:
    staff, (name,) = hired(1)
    staff.leave_all(10)
    assert staff.look(10, {}, {}) == [Cancel((name,))]
    staff.cancelled([name], 10)
    assert staff.look(11, {}, {}) == [Ask((name,))]
    staff.told([name], {name: Told("RUNNING")}, 11)
    assert Cancel((name,)) in staff.look(13, {}, {})
    staff.cancelled([name], 13)
    staff.look(20, {}, {})
    staff.told([name], {name: Told("CANCELLED")}, 20)
    assert not staff.hires


@pytest.mark.parametrize("answer", [{}, None])
def test_no_answer_and_no_line_prove_nothing(answer: dict[str, Told] | None) -> None:
    """A listing that is empty, or does not come, ends no job and asks for none."""
    staff = staffing()
    (submit,) = staff.look(0, {}, {"slurm": 1})
    staff.taken(submit.names, ["7"], 0)  # type: ignore[union-attr]
    asked = []
    for second in range(1, 600):
        for action in staff.look(second, {}, {"slurm": 1}):
            assert isinstance(action, Ask)
            asked.append(second)
            if answer is None:
                staff.not_told("squeue said nothing for 10 s", second)
            else:
                staff.told(action.names, answer, second)
    assert 5 <= len(asked) <= 20
    assert staff.count("slurm", State.PENDING) == 1


def test_a_job_is_believed_lost_when_the_batch_system_says_so_twice() -> None:
    staff = staffing()
    (submit,) = staff.look(0, {}, {"slurm": 1})
    (name,) = submit.names  # type: ignore[union-attr]
    staff.taken([name], ["7"], 0)
    staff.look(6, {}, {"slurm": 1})
    staff.told([name], {name: Told("UNKNOWN")}, 6)
    assert name in staff.hires
    staff.look(20, {}, {"slurm": 1})
    staff.told([name], {name: Told("UNKNOWN")}, 20)
    assert name not in staff.hires
    assert "job 7" in str(staff.trouble)


def test_a_lost_worker_is_replaced_even_if_the_batch_system_never_answers() -> None:
    staff, (name,) = hired(1)
    actions = staff.look(20, {}, {"slurm": 1})
    assert actions == [Ask((name,))]
    for second in range(21, 30):
        assert staff.look(second, {}, {"slurm": 1}) == []
    assert set(kinds(staff.look(30, {}, {"slurm": 1}))) == {Submit, Cancel}


def test_the_reason_of_a_lost_worker_is_told() -> None:
    staff, (name,) = hired(1)
    staff.look(20, {}, {"slurm": 1})
    staff.told([name], {name: Told("OUT_OF_MEMORY", "OutOfMemory", "0 (signal 125)", "/logs/x.out")}, 21)
    (end,) = staff.ends
    assert end.came
    assert (
        str(end)
        == f"{name} (job 1{name[-1]}) ended: OUT_OF_MEMORY, OutOfMemory, exit code 0 (signal 125), its log: /logs/x.out"
    )
    assert kinds(staff.look(22, {}, {"slurm": 1})) == [Submit]


def test_a_job_that_goes_back_into_the_queue_is_waited_for() -> None:
    staff, (name,) = hired(1)
    staff.look(20, {}, {"slurm": 1})
    staff.told([name], {name: Told("PENDING", "BeginTime")}, 21)
    for second in range(22, 60):
        assert all(isinstance(action, Ask) for action in staff.look(second, {}, {"slurm": 1}))
    staff.look(61, here([name]), {"slurm": 1})
    assert staff.hires[name].state is State.HERE


def test_refusals_are_waited_for_and_told_once() -> None:
    staff, names = staffing(), []
    submitted = []
    for second in range(600):
        for action in staff.look(second, here(names, tuple(names)), {"slurm": 8}):
            assert isinstance(action, Submit)
            submitted.append(second)
            if len(names) + len(action.names) > 2:
                staff.refused(action.names, "QOSMaxSubmitJobPerUserLimit", second)
            else:
                names += action.names
                staff.taken(action.names, ["5"] * len(action.names), second)
    assert len(names) == 2
    assert len(submitted) <= 14
    assert staff.news == ["the site allows 2 jobs (QOSMaxSubmitJobPerUserLimit); going on with 2"]
    lost = names.pop()  # what the site allowed once it allows again
    staff.look(600, here(names, tuple(names)), {"slurm": 8})
    staff.told([lost], {lost: Told("NODE_FAIL")}, 601)
    assert kinds(staff.look(1000, here(names, tuple(names)), {"slurm": 8})) == [Submit]


def test_workers_that_end_before_they_come_are_asked_for_less_and_less_often() -> None:
    staff, submitted = staffing(), []
    for second in range(900):
        for action in staff.look(second, {}, {"slurm": 1}):
            if isinstance(action, Submit):
                submitted.append(second)
                staff.taken(action.names, [str(second)], second)
            elif isinstance(action, Ask):
                staff.told(
                    action.names, {name: Told("FAILED", "NonZeroExitCode", "1") for name in action.names}, second
                )
    assert len(submitted) <= 12
    assert len(staff.news) == 1
    assert "exit code 1, before it came" in staff.news[0]


def test_a_submission_that_nobody_answered_is_looked_for_by_name() -> None:
    staff = staffing()
    (submit,) = staff.look(0, {}, {"slurm": 1})
    (name,) = submit.names  # type: ignore[union-attr]
    staff.unanswered([name], "sbatch said nothing for 60 s", 60)
    assert staff.look(61, {}, {"slurm": 1}) == [Ask((name,))]
    staff.told([name], {name: Told("PENDING", job="12")}, 61)
    assert (staff.hires[name].state, staff.hires[name].job) == (State.PENDING, "12")


def test_a_worker_says_itself_which_job_is_its_own() -> None:
    staff = staffing()
    (submit,) = staff.look(0, {}, {"slurm": 1})
    staff.taken(submit.names, ["999"], 0)  # type: ignore[union-attr]
    staff.look(9, {submit.names[0]: Present(0.0, True, "17")}, {"slurm": 1})  # type: ignore[union-attr]
    staff.leave_all(10)
    staff.look(10, {}, {})
    assert staff.hires[submit.names[0]].job == "17"  # type: ignore[union-attr]


def test_a_submission_under_way_while_the_client_closes_is_given_up_when_it_is_answered() -> None:
    staff = staffing()
    (submit,) = staff.look(0, {}, {"slurm": 1})
    staff.leave_all(1)
    assert staff.look(1, {}, {}) == []
    staff.taken(submit.names, ["5"], 2)  # type: ignore[union-attr]
    assert staff.look(2, {}, {}) == [Cancel(submit.names)]  # type: ignore[union-attr]


def test_a_site_is_not_asked_for_more_than_it_was_said() -> None:
    staff, names = staffing(rate=3, queue_size=4), []
    submitted = []
    for second in range(200):
        for action in staff.look(second, here(names, tuple(names)), {"slurm": 9}):
            if isinstance(action, Submit):
                submitted.append(second)
                names += action.names
                staff.taken(action.names, ["5"] * len(action.names), second)
    assert len(names) == 4
    assert submitted == [0, 1, 2, 60]


def test_many_workers_are_asked_for_with_one_command() -> None:
    (submit,) = staffing().look(0, {}, {"slurm": 40})
    assert len(submit.names) == 40  # type: ignore[union-attr]
    (submit,) = staffing(array=1).look(0, {}, {"slurm": 40})
    assert len(submit.names) == 1  # type: ignore[union-attr]


def test_workers_that_take_no_more_are_replaced_and_go_when_they_are_done() -> None:
    staff, (name,) = hired(1)
    actions = staff.look(10, {name: Present(None, takes=False)}, {"slurm": 1})
    assert kinds(actions) == [Submit]
    actions = staff.look(11, {name: Present(0.0, takes=False)}, {"slurm": 1})
    assert Cancel((name,)) in actions


@pytest.mark.parametrize(
    "seeds", [range(40), pytest.param(range(40, 200), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_whatever_happens_all_calls_end_and_no_job_stays(seeds: range) -> None:
    for seed in seeds:
        history(seed)


def history(seed: int) -> None:
    """Calls of all lengths at a site with faults, while machines are taken away and come back."""
    rng = random.Random(seed)
    faults = {name: rng.choice([0.0, 0.0, 0.05, 0.3]) for name in FAULTS}
    calls = [rng.choice([1.0, 5.0, 40.0]) for _ in range(rng.randint(1, 30))]
    options = {"maximum": rng.randint(1, 12), "limit": rng.choice([2, 5, 1000]), "wait": rng.choice([0.0, 5.0, 60.0])}
    site = Site(rng, calls, rate=rng.choice([5, 20]), faults=faults, **options)
    taken = 0
    for _ in range(200):
        site.run(10)
        if len(site.done) == len(calls):
            break
        running = [job.number for job in site.jobs.values() if job.state == "RUNNING"]
        if running and taken < 4 and rng.random() < 0.1:
            taken += 1
            rng.choice([site.take_away, site.requeue])(rng.choice(running))
    site.enough = True
    assert site.run(4000, lambda: len(site.done) == len(calls)), seed
    assert all(number == 1 + site.taken_away[call] for call, number in site.starts.items()), seed
    assert site.ended_busy == [], seed
    assert site.most_in_a_minute("Submit") <= site.rate
    assert site.most_in_a_minute("Ask") <= 30
    site.run(3, None)
    site.close(400)
    assert not site.staffing.hires, seed
    left = [job for job in site.active() if job.name not in site.workers]
    # Jobs of which the site gave no number, or a wrong one, are found by name at the very end: tried on a real SLURM.
    assert left == [] or faults["killed"] or faults["wrong"], seed
