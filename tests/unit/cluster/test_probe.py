"""The probe's log is read exactly, and its manifests ask for little."""

import pytest

from cmhot.cluster import probe

LOG = """\
2026-11-23T12:27:55.500000001Z start 2235.89
2026-11-23T12:27:55.500000002Z publication 1 2026-11-23 12:27:55.411652736 +0000
2026-11-23T12:27:59.000000000Z gap 3
2026-11-23T12:28:01.1Z publication 22 2026-11-23 14:28:00.000000001 +0200
something else
2026-11-23T12:28:02Z publication 2"""


def test_instants_keep_every_nanosecond() -> None:
    """A publication's instant is the mtime that the kubelet wrote, to the ns."""
    lines = list(probe.parse_log(LOG))

    assert [line.kind for line in lines] == [
        *("start", "publication", "gap", "publication")
    ]
    assert lines[1].seq == 1
    assert lines[1].published_ns == 1_795_436_875_411_652_736
    assert lines[1].read_ns == 1_795_436_875_500_000_002


def test_other_time_zones_are_read_as_utc() -> None:
    """An offset in the stamp moves the instant, not the number."""
    last = list(probe.parse_log(LOG))[-1]

    assert (last.seq, last.published_ns) == (22, 1_795_436_880_000_000_001)


def test_a_torn_last_line_is_passed_over() -> None:
    """A line that the kubelet was still writing is not half believed."""
    assert all(line.seq != 2 for line in probe.parse_log(LOG))


@pytest.mark.parametrize(
    ("content", "seq"),
    [("9" * 18, 999_999_999_999_999_999), ("9" * 19, None), ("9" * 5000, None)],
    ids=["18 digits", "19 digits", "5000 digits"],
)
def test_a_number_beyond_18_digits_is_not_ours(content: str, seq: int | None) -> None:
    """It would not fit into 64 bits, or be no number to Python at all."""
    stamp = "2026-11-23T12:27:55.5Z"
    log = f"{stamp} publication {content} 2026-11-23 12:27:55.000000001 +0000"

    (line,) = probe.parse_log(log)

    assert (line.seq, line.detail) == (seq, content)


def test_a_gap_has_both_ends() -> None:
    """A gap's seconds end when the line was printed."""
    gap = next(line for line in probe.parse_log(LOG) if line.kind == "gap")

    assert probe.gap_bounds(gap) == (1_795_436_876_000_000_000, gap.read_ns)


def test_probes_pass_pod_security_restricted() -> None:
    """The probe's pod has what the Pod Security standard `restricted` asks for."""
    made = probe.deployment(
        "probe",
        run_id="r",
        group="g",
        configmap="c",
        nodes=["n"],
        replicas=3,
        image="i",
        pull_policy="Never",
    )
    spec = made["spec"]["template"]["spec"]
    container = spec["containers"][0]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    assert spec["automountServiceAccountToken"] is False
    assert made["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    ("run_id", "namespace"),
    [
        ("20261124t163148-2bdd", "cmhot-20261124t163148-2bdd"),
        ("fast", "cmhot-fast"),
        ("My run_2.", "cmhot-my-run-2"),
        ("x" * 70, "cmhot-" + "x" * 57),
    ],
)
def test_a_namespace_is_a_label_whatever_the_run_is_called(
    run_id: str, namespace: str
) -> None:
    """A run's name becomes lower-case letters, digits and inner hyphens, 63 at most."""
    assert probe.namespace_of(run_id) == namespace
