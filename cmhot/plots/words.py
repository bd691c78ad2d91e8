"""Words on figures and in sentences about them, in English and in Chinese."""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Strategy
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cmhot.statistics.summary import SettingSummary, Summary


class Pair(NamedTuple):
    """A text, or a template as `str.format` has it, in each of `LANGUAGES`."""

    en: str
    zh: str


LANGUAGES = ("en", "zh")
"""English and simplified Chinese."""
VOLUME = "volume"
"""The consumer that the law is about."""
WORDS = {
    # axes
    "delay": ("delay, s", "延迟（秒）"),
    "mean delay": ("mean delay, s", "平均延迟（秒）"),
    "share": ("share of pods\nthat have the update", "已看到更新的 Pod 比例"),
    "sync frequency": ("syncFrequency, s", "syncFrequency（秒）"),
    "scaled delay": (
        "delay / (syncFrequency + ½ s), no unit",
        "延迟 /（syncFrequency + ½ 秒），无单位",
    ),
    "since": ("seconds since the API server's answer", "API server 应答后的时间（秒）"),
    "pods by turn": ("pods, in the order they saw it", "Pod（按看到更新的先后）"),
    "fleet size": ("number of pods, N", "Pod 数量 N"),
    "until all N": (
        "seconds until all N pods\nhave the update",
        "全部 N 个 Pod 看到更新所需时间（秒）",
    ),
    "until all": (
        "seconds until all pods have it (log scale)",
        "全部 Pod 看到更新所需时间（秒，对数刻度）",
    ),
    "phase": (
        "publication instant within its second, s",
        "发布时刻在一秒内的位置（秒）",
    ),
    "rows of phases": (
        "share of publications in each 20 ms\n(each row: 0 to {top:.0f} %)",
        "每 20 毫秒内的发布占比（每行 0 至 {top:.0f} %）",
    ),
    # origin
    "modelled, not measured": ("modelled, not measured", "模型结果，非实测"),
    "law": ("law", "理论值"),
    "default law": ("law at the default (60 s)", "默认设置的理论分布（60 秒）"),
    "environment": ("environment", "环境变量"),
    "about 10 s": ("“about 10 s”", "“大约 10 秒”"),
    "limit law": ("law, for long intervals", "理论值（长间隔极限）"),
    "band": ("95 % confidence", "95 % 置信带"),
    "longest": ("longest possible (law)", "最长可能值（理论）"),
    # settings and consumers
    "unknown setting": ("unknown setting", "设置未知"),
    "inferred": ("{name} (inferred)", "{name}（推断）"),
    "ttl": ("{name} (TTL {value:g} s)", "{name}（TTL {value:g} 秒）"),
    "with": ("{name}, {more}", "{name}，{more}"),
    "s": ("{value:g} s", "{value:g} 秒"),
    "tenths of s": ("{value:.1f} s", "{value:.1f} 秒"),
    "ms": ("{value:.0f} ms", "{value:.0f} 毫秒"),
    "minus ms": ("−{value:.0f} ms", "−{value:.0f} 毫秒"),
    "p50": ("median (p50)", "中位数（p50）"),
    "p90": ("p90", "p90"),
    "p95": ("p95", "p95"),
    "p99": ("p99", "p99"),
    "quantiles": (
        "{name}: median {p50}, 99 % {p99}",
        "{name}：中位数 {p50}，99 % {p99}",
    ),
    # one update
    "write": (
        "update planned {planned}, sent {sent},\nacknowledged 0 ms",
        "更新：计划 {planned}，发出 {sent}，\n确认 0 毫秒",
    ),
    # a change of the setting
    "before": ("before: {name}", "更改前：{name}"),
    "after": ("after: {name}", "更改后：{name}"),
    # consumers
    "at once": ("at once", "立即"),
    "later": ("later", "稍后"),
    "never": ("never", "永不"),
    "none such": ("–", "–"),
    "volume": ("volume", "卷"),
    "volume with items": ("volume with items", "卷（指定 items）"),
    "projected": ("projected volume", "projected 卷"),
    "projected volume": ("projected volume", "projected 卷"),
    "optional volume, made later": ("optional, made later", "可选卷（后创建）"),
    "volume, immutable": ("volume, immutable", "卷（immutable）"),
    "init container": ("init container", "init 容器"),
    "sidecar's volume": ("sidecar's volume", "sidecar 的卷"),
    "ephemeral container's env": ("ephemeral container", "临时容器的 env"),
    "volume of a Secret": ("volume of a Secret", "Secret 卷"),
    "env of a Secret": ("env of a Secret", "Secret 的 env"),
    "update": ("update", "更新"),
    "container restart": ("container\nrestart", "容器重启"),
    "pod restart": ("pod\nrestart", "Pod 重建"),
    # remedies
    "nothing": ("wait", "等待"),
    "annotate": ("annotate the pods", "给 Pod 加注解"),
    "rollout": ("rollout", "滚动重启"),
    "recreate": ("scale to 0 and back", "缩容到 0 再扩回"),
    "median of": (
        "{name}: {value} (median of {n})",
        "{name}：{value}（{n} 次的中位数）",
    ),
    "once": ("{name}: {value} (one trial)", "{name}：{value}（1 次试验）"),
    "costs": (
        "{restarted} pods replaced, {percent} % ready at worst, API writes: {requests}",
        "替换 {restarted} 个 Pod，最低就绪 {percent} %，API 写请求 {requests}",
    ),
    # what a setting costs
    "millicores": ("CPU of the kubelet,\nmillicores", "kubelet 的 CPU\n（毫核）"),
    "requests a second": ("requests/s", "请求（次/秒）"),
    "p99 of the delay": (
        "p99 of the delay by the law, s",
        "延迟的 99 % 分位数（理论，秒）",
    ),
    "pods of a node": ("{value:g} pods", "{value:g} 个 Pod"),
    # loads of a kubelet
    "p99 under a load": (
        "p99 of the delay, s (log scale)",
        "延迟的 99 % 分位数（秒，对数刻度）",
    ),
    "within": ("within 1 s", "不超过 1 秒"),
    "beyond": ("more than 1 s above", "超出 1 秒以上"),
    "not decided": ("not decided", "未判定"),
    "no start": ("pods did not start", "Pod 未能启动"),
    # ways of measuring
    "open loop": ("open loop", "开环"),
    "closed loop": ("closed loop", "闭环"),
    "rare looks": ("a look every {value:g} s", "每 {value:g} 秒看一次"),
    "timeouts dropped": ("given up after {value:g} s", "{value:g} 秒后放弃"),
    "complete intervals only": (
        "whole intervals in {value:g} s",
        "{value:g} 秒内的完整间隔",
    ),
    "one delay per sync": ("one delay per sync", "每次同步取一个延迟"),
    "pause": ("pause of {value:.3g} s", "间隔 {value:.3g} 秒"),
    "truth": ("truth: {value:.1f} s", "真值：{value:.1f} 秒"),
    # phase
    "even": ("if spread evenly", "若均匀分布"),
    "coherence": ("{name}: coherence {value:.2f}", "{name}：相干度 {value:.2f}"),
    "some of": ("{some} of {all} nodes", "{all} 个节点中的 {some} 个"),
}


def say(words: str | tuple[str, str], lang: str, **values: Any) -> str:  # noqa: ANN401 - as str.format has it
    """Fill the blanks of a pair, or of a key of `WORDS`, in one language.

    A key that is not known is given as it is: names are not translated.

    Raises
    ------
    UsageError
        For a language that figures do not speak.
    """
    if lang not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        msg = f"figures speak no {lang!r}: choose one of {known}"
        raise UsageError(msg)
    if isinstance(words, str):
        words = WORDS.get(words, (words, words))
    text = words[LANGUAGES.index(lang)]
    return text.format(**values) if values else text


# numbers and lists in sentences


def seconds(value: float | None, lang: str = "en") -> str:
    """Write seconds to a tenth: ``12.9 s``."""
    if value is None:
        return say(("unknown", "未知"), lang)
    return say("tenths of s", lang, value=value)


def percent(share: float) -> str:
    """Write a share in whole percent: ``71 %``."""
    return f"{share * 100:.0f} %"


def counted(number: float | None, thing: str, lang: str = "en") -> str:
    """Write a number of things: ``1 pod``, ``2 pods``; in Chinese the number alone."""
    said = "–" if number is None else f"{number:g}"
    return f"{said} {thing}{'' if number == 1 else 's'}" if lang == "en" else said


def listing(parts: Sequence[str], lang: str = "en") -> str:
    """Join parts as a sentence does: ``a, b and c``."""
    if len(parts) < 2:  # noqa: PLR2004 - one needs no "and"
        return "".join(parts)
    comma, and_ = (", ", " and ") if lang == "en" else ("、", "和")
    if any(comma in part for part in parts):  # a name with a comma in it
        comma = "; " if lang == "en" else "；"
    if lang != "en":  # between Chinese and Latin there is room
        before, after = parts[-2][-1:], parts[-1][:1]
        and_ = f"{' ' * before.isascii()}{and_}{' ' * after.isascii()}"
    return f"{comma.join(parts[:-1])}{and_}{parts[-1]}"


def semicolons(parts: Iterable[str], lang: str) -> str:
    """Join parts that have commas of their own: ``a; b; c``."""
    return say(("; ", "；"), lang).join(parts)


def joined(sentences: Iterable[str], lang: str) -> str:
    """Make a paragraph of sentences."""
    return say((" ", ""), lang).join(sentences)


# names of settings and of ways of measuring


def setting_name(row: Mapping[str, Any], lang: str) -> str:
    """Name the setting in a row: ``10 s, Watch``."""
    sync_s = row["sync_frequency_s"]
    if pd.isna(sync_s):
        return say("unknown setting", lang)
    name = say("s", lang, value=float(sync_s))
    if pd.isna(row["strategy"]):
        return say("inferred", lang, name=name)
    return say("with", lang, name=name, more=strategy_name(row, lang))


def strategy_name(row: Mapping[str, Any], lang: str) -> str:
    """Name the change detection in a row: ``Cache (TTL 15 s)``."""
    setting = schema.setting_of(row)
    if setting is None:
        return say("unknown setting", lang)
    name = setting.strategy.value
    if setting.strategy is not Strategy.CACHE or setting.ttl_s is None:
        return name
    return say("ttl", lang, name=name, value=setting.ttl_s)


def in_both(row: Mapping[str, Any]) -> Pair:
    """Name the setting in a row in both languages."""
    return Pair(setting_name(row, "en"), setting_name(row, "zh"))


def distinct_names(rows: Sequence[Mapping[str, Any]], lang: str) -> list[str]:
    """Name settings, with the consumer where there are several."""
    names = [setting_name(row, lang) for row in rows]
    if len({row["consumer"] for row in rows}) == 1:
        return names
    return [
        say("with", lang, name=name, more=row["consumer"])
        for name, row in zip(names, rows, strict=True)
    ]


def name_of(own: SettingSummary, summary: Summary, lang: str = "en") -> str:
    """Name a setting: ``10 s, Watch``; with its consumer where there are several."""
    name = own.name if lang == "en" else setting_name(own.population, lang)
    consumers = {one.population["consumer"] for one in summary.settings}
    if len(consumers) == 1:
        return name
    return say("with", lang, name=name, more=own.population["consumer"])


def sync_of(population: Mapping[str, Any], lang: str = "en") -> str:
    """Name the `syncFrequency` in a row: ``10 s``."""
    sync_s = population["sync_frequency_s"]
    if sync_s is None:
        return say(("an unknown one", "未知"), lang)
    return say("s", lang, value=sync_s)


def way_name(row: Mapping[str, Any], lang: str) -> str:
    """Name the way of measuring in a row: ``closed loop, pause of 5 s``."""
    every_s, pause_s = row.get("seconds"), row.get("pause_s")
    known = {} if every_s is None or pd.isna(every_s) else {"value": every_s}
    name = say(str(row["method"]), lang, **known)
    if pause_s is None or pd.isna(pause_s):
        return name
    return say("with", lang, name=name, more=say("pause", lang, value=pause_s))
