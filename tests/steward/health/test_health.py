"""Agreement health (H1–H7): figures worked out by hand, and the same figures in every way."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from ledger.events.envelope import Act, Granted, SubjectErased, TriggerSet, Withdrawn
from steward.agreements.health import (
    Advice,
    AgreementHealth,
    HealthReport,
    HealthReports,
    ThresholdError,
    Thresholds,
    thresholds,
)
from steward.agreements.running_health import RunningHealth
from tests.campaign import sized
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, PEOPLE, World, world

AT = consent_bits.minute(NOON) + 1
# Seven uses ask for consent: segmentation 3 (synthetic), nearest-branch 2, direct-marketing 2.
FRESHNESS = {"segmentation": {"age": True, "job": False}, "direct-marketing": {"email": True}}
LIMITS = Thresholds(least_coverage=5000, least_freshness=9000, most_dependence=2500)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    return world(tmp_path, release=False)


def health(released: tuple[str, ...] = ("segmentation",)) -> AgreementHealth:
    return AgreementHealth(SCENES, released, FRESHNESS)


def state(bank: World) -> ConsentIndex:
    state = ConsentIndex(SCENES)
    state.catch_up(bank.ledger)
    return state


def of(bank: World, subject: str = "c1", minute: int = AT) -> HealthReport:
    return health().report(state(bank), subject, minute)


def figures(report: HealthReport) -> tuple[int | None, int | None, int | None]:
    return report.coverage, report.freshness, report.dependence


def test_the_figures_are_those_worked_out_by_hand(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    bank.says("c1", Granted("direct-marketing", ("email",), None))
    # granted 3 of 7; of age, job and email, which are watched, job is late: 2 of 3;
    # housing is modelled: 1 of 7
    assert of(bank) == HealthReport(asked=7, granted=3, timed=3, fresh=2, modelled=1)
    assert figures(of(bank)) == (4285, 6666, 1429)


def test_a_share_of_nothing_is_not_a_number(bank: World) -> None:
    assert figures(of(bank, "nobody")) == (0, None, 4286)
    locked = AgreementHealth({"contract-service": SCENES["contract-service"]}, (), {})
    assert figures(locked.report(state(bank), "c1", AT)) == (None, None, None)


def test_without_a_release_nothing_depends_on_a_model(bank: World) -> None:
    assert health(released=()).report(state(bank), "c1", AT).dependence == 0


def test_a_grant_that_ended_or_is_frozen_does_not_count(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ("age",), NOON + timedelta(minutes=5)))
    assert of(bank, minute=AT).granted == 1
    assert of(bank, minute=consent_bits.minute(NOON) + 5).granted == 0
    bank.says("c2", Granted("segmentation", ("age",), None))
    bank.says("c2", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    assert of(bank, "c2").granted == 0  # no report of the signal counts
    bank.reports("accuracy", 9200)
    assert of(bank, "c2").granted == 1


ADVICE = {
    "all is well": (HealthReport(10, 5, 10, 9, 2), ()),
    "at every threshold": (HealthReport(10000, 5000, 10000, 9000, 2500), ()),
    "little granted": (HealthReport(10000, 4999, 10000, 9000, 2500), (Advice.EXPLAIN,)),
    "old data": (HealthReport(10000, 5000, 10000, 8999, 2500), (Advice.REFRESH,)),
    "much modelled": (HealthReport(10000, 5000, 10000, 9000, 2501), (Advice.REVIEW,)),
    "nothing watched": (HealthReport(10, 5, 0, 0, 2), ()),
    "everything": (HealthReport(10, 0, 1, 0, 10), (Advice.EXPLAIN, Advice.REFRESH, Advice.REVIEW)),
    "no scene asks": (HealthReport(0, 0, 0, 0, 0), ()),
}


@pytest.mark.parametrize("why", ADVICE)
def test_advice_is_given_beyond_a_threshold_never_at_it(why: str) -> None:
    report, advice = ADVICE[why]
    assert report.advice(LIMITS) == advice


def test_no_advice_is_to_ask_again() -> None:
    assert {*Advice} == {"explain", "refresh", "review"}


subjects = st.sampled_from([*PEOPLE])
acts = st.one_of(
    st.builds(
        Granted,
        st.sampled_from(["segmentation", "direct-marketing"]),
        st.sampled_from([("age",), ("age", "job"), ("email", "name"), ("job",)]),
        st.none() | st.integers(-5, 90).map(lambda m: NOON + timedelta(minutes=m)),
    ),
    st.builds(Withdrawn, st.sampled_from(["segmentation", "direct-marketing"])),
    st.just(TriggerSet("segmentation", "metric_below", "accuracy", 9200)),
)
steps = st.one_of(
    st.tuples(subjects, acts), st.integers(9000, 9300), st.integers(1, 40).map(lambda m: -m)
)


@settings(max_examples=sized(13, 400), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(steps, max_size=12))
def test_point_cohort_and_running_figures_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, Act] | int]
) -> None:
    bank = world(tmp_path_factory.mktemp("world"), release=False)
    now, minute, seen = state(bank), AT, 0
    running = RunningHealth(health(), LIMITS, now, minute)
    for step in told:
        if isinstance(step, tuple):
            bank.says(step[0], step[1], NOON)
        elif step > 0:
            bank.reports("accuracy", step)
        else:
            minute -= step
        now.catch_up(bank.ledger)
        running.follow(bank.ledger.follow(seen), now, minute)
        seen = bank.ledger.size
        points = [health().report(now, subject, minute) for subject in now.subjects]
        everybody = health().everybody(now, minute)
        assert [*everybody] == points
        assert [running.report(subject) for subject in now.subjects] == points
        assert running.total() == everybody.total()
        _require_same_advice(everybody, points)
        concerned = {advice: int(rows.sum()) for advice, rows in everybody.advised(LIMITS).items()}
        assert running.advised() == concerned


def _require_same_advice(everybody: HealthReports, points: list[HealthReport]) -> None:
    for advice, rows in everybody.advised(LIMITS).items():
        assert rows.tolist() == [advice in report.advice(LIMITS) for report in points]


def test_one_instruction_counts_nobody_else_again(bank: World) -> None:
    for subject in PEOPLE:
        bank.says(subject, Granted("segmentation", ("age",), None))
    now = state(bank)
    running = RunningHealth(health(), LIMITS, now, AT)
    seen = bank.ledger.size
    for fields in (("age", "job"), ("job",)):
        bank.says("c2", Granted("segmentation", fields, None))
    now.catch_up(bank.ledger)
    running.follow(bank.ledger.follow(seen), now, AT)
    assert running.recounts == 1  # the first
    assert running.total() == health().everybody(now, AT).total()


def test_an_erasure_counts_nobody_else_again(bank: World) -> None:
    for subject in ("c1", "c2", "c3"):
        bank.says(subject, Granted("segmentation", ("age",), None))
    now, seen = ConsentIndex(SCENES), bank.ledger.size
    now.keep_up(bank.ledger)
    running = RunningHealth(health(), LIMITS, now, AT)
    bank.ledger.erase("c1", NOON)
    bank.says("c1", Granted("direct-marketing", ("email",), None))
    bank.ledger.erase("c2", NOON)
    now.keep_up(bank.ledger)
    running.follow(bank.ledger.follow(seen), now, AT)
    assert running.recounts == 1  # the first
    afresh = RunningHealth(health(), LIMITS, state(bank), AT)
    assert (len(running), running.total()) == (len(afresh), afresh.total()) == (2, running.total())
    assert running.advised() == afresh.advised()
    assert [running.report(each) for each in PEOPLE] == [afresh.report(each) for each in PEOPLE]
    again = RunningHealth(health(), LIMITS, now, AT)  # over a state with empty rows
    assert (len(again), again.total(), again.advised()) == (2, afresh.total(), afresh.advised())


def test_after_a_replay_everybody_is_counted_again(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ("age",), None))
    bank.says("c2", Granted("segmentation", ("age",), None))
    now, seen = state(bank), bank.ledger.size
    running = RunningHealth(health(), LIMITS, now, AT)
    bank.ledger.erase("c1", NOON)
    now.catch_up(bank.ledger)
    erased = [*bank.ledger.follow(seen)]
    assert isinstance(erased[0].event, SubjectErased)
    running.follow(erased, now, AT)
    assert (len(running), running.report("c1")) == (1, None)
    assert running.total().granted == 1


def test_the_shipped_thresholds_are_read() -> None:
    assert thresholds() == Thresholds(2500, 9000, 5000)


BAD = {
    "missing": "least-coverage: 1\n",
    "unknown": "least-coverage: 1\nleast-freshness: 1\nmost-dependence: 1\nmore: 1\n",
    "a share": "least-coverage: 0.5\nleast-freshness: 1\nmost-dependence: 1\n",
    "more than all": "least-coverage: 10001\nleast-freshness: 1\nmost-dependence: 1\n",
    "less than nothing": "least-coverage: -1\nleast-freshness: 1\nmost-dependence: 1\n",
    "a list": "- 1\n",
    "nothing": "",
    "not YAML": "[",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_thresholds_that_cannot_be_used_are_refused_and_the_file_named(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "health.yaml"
    path.write_text(text)
    with pytest.raises(ThresholdError, match=r"health\.yaml: .*want"):
        thresholds(path)
