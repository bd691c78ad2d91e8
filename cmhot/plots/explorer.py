"""What the law says for any setting, and what was measured there, if it was.

`what_if` draws it on Axes; `explore` is a panel of controls for JupyterLab.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import cache
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet.settings import MAX_PODS, Setting, Strategy
from cmhot.law.prediction import predict
from cmhot.plots import drawing
from cmhot.plots.figure import Material, shipped_runs
from cmhot.plots.files import style
from cmhot.plots.words import Pair, say
from cmhot.runs import schema
from cmhot.statistics.population import populations

if TYPE_CHECKING:
    import ipywidgets
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.law.prediction import Prediction

    Floats = npt.NDArray[np.float64]


SYNC_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300)
TTL_S = (0, 5, 10, 15, 30, 60, 120, 300)
PODS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SHARERS = (1, 2, 5, 10, 20, 50, 110)
NODE_PODS = (1, 5, 10, 20, 30, 50, 75, MAX_PODS)
MAPS = (1, 2, 3, 5, 10)
"""What the controls of `explore` offer."""
_CORNERS = 401  # of a curve
_ROOM = 1.1  # of the axes beyond the curves, for numbers
_MARKED = (
    ((0.5, "left", -12), (0.99, "right", 7)),
    ((0.5, "right", 0), (0.99, "left", 7)),
)
"""Of each curve: the shares marked, and where the number stands beside the mark."""
_MARGINS = {"left": 0.09, "right": 0.98, "bottom": 0.14, "top": 0.92}
_WORDS = {
    "one": Pair("a given pod has it", "某个 Pod 看到更新"),
    "all": Pair("all {pods} pods have it", "全部 {pods} 个 Pod 看到更新"),
    "measured": Pair("a pod, measured", "某个 Pod（实测）"),
    "by law": Pair("by the law, not measured", "理论值，非实测"),
    "law and data": Pair("law, and measured", "理论值与实测值"),
    "probability": Pair("probability", "概率"),
}


def what_if(
    prediction: Prediction,
    *,
    measured_s: Floats | None = None,
    ax: Axes | None = None,
    lang: str = "en",
) -> Axes:
    """Draw how probable it is that an update is there, against the time since.

    One curve is for a given pod, and another one for all pods asked for, with their
    medians and 99 % points marked; what was measured lies below the first.

    Parameters
    ----------
    prediction
        As `cmhot.predict` gives it.
    measured_s
        Delays in seconds that were measured at the setting (`measured_at`); None: none.
    ax, lang
        Where to draw (None: new Axes), and the language of its words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.
    """
    ax = drawing.axes_or_new(ax)
    end_s = prediction.law.max_s
    t = np.linspace(0, end_s, _CORNERS)
    if measured_s is not None:
        share = np.linspace(0, 1, _CORNERS)
        ax.plot(
            *(np.quantile(measured_s, share), share),
            linewidth=6,
            alpha=0.4,
            color=drawing.colour(ax, 2),
            label=say(_WORDS["measured"], lang),
        )
    laws = {say(_WORDS["one"], lang): prediction.one}
    if prediction.pods > 1:
        laws[say(_WORDS["all"], lang, pods=prediction.pods)] = prediction.law
    for number, (label, law) in enumerate(laws.items()):
        hue = drawing.colour(ax, number)
        line = "-" if number == 0 else "--"
        ax.plot(t, law.cdf(t), linewidth=2, linestyle=line, color=hue, label=label)
        for p, side, up_pt in _MARKED[number]:
            at_s = float(law.quantile(p))
            ax.plot(at_s, p, marker=drawing.marker(number), color=hue)
            ax.annotate(
                f"{at_s:.1f} s",
                (at_s, p),
                xytext=(6 if side == "left" else -6, up_pt),
                textcoords="offset points",
                ha=side,
                bbox=drawing.behind(ax),
            )
    drawing.label_shares(ax, end_s * _ROOM, lang=lang)
    ax.set_ylim(0, _ROOM)
    ax.set_ylabel(say(_WORDS["probability"], lang))
    note = "by law" if measured_s is None else "law and data"
    ax.set_title(say(_WORDS[note], lang), loc="right", style="italic")
    ax.legend(loc="upper left")  # above rising curves
    return ax


def measured_at(setting: Setting) -> Floats | None:
    """Give the delays that the package's own data have for a setting, in seconds.

    They are of idle pods that mount the ConfigMap, on a testbed. None: the setting was
    not measured there. Under Cache with a TTL nothing is given: how many pods share the
    ConfigMap would have to agree as well.
    """
    return _shipped().get(_key(setting))


def _key(setting: Setting) -> tuple[float, str]:
    return setting.sync_frequency_s, f"{setting.strategy} {setting.ttl_s or 0:g}"


@cache
def _shipped() -> dict[tuple[float, str], Floats]:
    """Read the shipped delays once, by setting."""
    found = {}
    for row, own in populations(Material(paths=shipped_runs()).delays):
        setting = schema.setting_of(row)
        if setting is None or (setting.strategy is Strategy.CACHE and setting.ttl_s):
            continue
        seen = own.loc[own["status"] == "observed", "delay_s"]
        found[_key(setting)] = seen.to_numpy(dtype=np.float64)
    return found


def explore() -> ipywidgets.Widget:
    """Make a panel that shows the law while its controls are moved, for JupyterLab.

    The controls are `syncFrequency`, the strategy, the TTL of Cache, how many pods of a
    node share the ConfigMap, the number of pods, and for the price all pods of a node
    and their ConfigMaps; below them are the curves of `what_if`, their quantiles, and
    the price.

    Returns
    -------
    ipywidgets.Widget
        To be displayed; its ``controls`` are its first child, ``picture`` and
        ``numbers`` the two others.

    Raises
    ------
    UsageError
        Where ipywidgets is not installed.
    """
    try:
        import ipywidgets  # noqa: PLC0415 - only who explores needs it
    except ImportError as error:
        msg = "the panel needs ipywidgets: pip install ipywidgets"
        raise UsageError(msg) from error

    def slider(name: str, offered: tuple[int, ...], value: int) -> Any:  # noqa: ANN401 - of a library without types
        return ipywidgets.SelectionSlider(
            options=offered,
            value=value,
            description=name,
            style={"description_width": "13em"},
            layout={"width": "34em"},
        )

    chosen = {
        "sync_s": slider("syncFrequency, s", SYNC_S, 60),
        "strategy": ipywidgets.ToggleButtons(
            options=[one.value for one in Strategy], value=Strategy.WATCH.value
        ),
        "ttl_s": slider("TTL of Cache, s", TTL_S, 0),
        "sharers": slider("pods a node sharing it", SHARERS, 1),
        "pods": slider("pods in all", PODS, 20),
        "pods_per_node": slider("all pods of a node", NODE_PODS, MAX_PODS),
        "maps": slider("ConfigMaps a pod", MAPS, 1),
    }
    # stretched to the width of the panel it would be blurred
    natural = {"align_self": "flex-start", "max_width": "100%"}
    picture = ipywidgets.Image(format="png", layout=natural)
    numbers = ipywidgets.HTML()

    def show(_: object = None) -> None:
        values = {name: control.value for name, control in chosen.items()}
        is_cached = values["strategy"] == Strategy.CACHE.value
        chosen["ttl_s"].disabled = not is_cached
        chosen["sharers"].disabled = not (is_cached and values["ttl_s"])
        setting = Setting(
            float(values["sync_s"]),
            Strategy(values["strategy"]),
            float(values["ttl_s"]) if is_cached else 0.0,
        )
        sharers = 1 if chosen["sharers"].disabled else values["sharers"]
        prediction = predict(
            setting,
            pods=max(values["pods"], sharers),
            sharers=sharers,
            pods_per_node=values["pods_per_node"],
            maps=values["maps"],
        )
        picture.value = _picture(prediction)
        numbers.value = _table(prediction)

    for control in chosen.values():
        control.observe(show, names="value")
    show()
    return ipywidgets.VBox([ipywidgets.VBox([*chosen.values()]), picture, numbers])


def _picture(prediction: Prediction) -> bytes:
    """Draw as PNG, with no figure left open."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - as where it is used

    with style():
        figure = Figure(figsize=(7.0, 3.8))
        figure.set_layout_engine("none")  # the style's would take as long as drawing
        ax = figure.subplots(gridspec_kw=_MARGINS)
        what_if(prediction, measured_s=measured_at(prediction.setting), ax=ax)
        ax.set_title(str(prediction.setting), loc="left")
        png = BytesIO()
        figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


def _table(prediction: Prediction) -> str:
    rows: pd.DataFrame = prediction.table()
    price = "<br>".join(map(escape, prediction.price.lines()))
    return f"{rows.to_html(float_format='{:.1f}'.format, border=0)}<p>{price}</p>"
