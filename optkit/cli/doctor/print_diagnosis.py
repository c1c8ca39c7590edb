"""What ``optkit doctor`` prints: the verdict, each problem with its way out, then the facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from optkit.cli.doctor.diagnosis import Diagnosis
from optkit.cli.doctor.distribution_report import DistributionReport, PluginReport
from optkit.cli.doctor.findings import Finding
from optkit.cli.doctor.hardware import Hardware
from optkit.cli.tables import console, indented, pairs

STYLES = {"works": "green", "failed": "red", "disabled": "yellow"}


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print a diagnosis; in colors on a terminal.

    Args:
        diagnosis: what was found.
    """
    out = console()
    out.print(diagnosis.verdict, style="bold red" if diagnosis.problems else "bold green")
    _print_findings(out, "Problems", diagnosis.problems, "red")
    _print_findings(out, "Notes", diagnosis.notes, "yellow")
    _print_section(out, "Distributions", _distributions(diagnosis.distributions))
    _print_section(out, "Versions", pairs(diagnosis.versions.items()))
    if diagnosis.hardware is not None:
        _print_section(out, "Kernels", pairs(_kernels(diagnosis.hardware)))
    _print_section(out, "Settings", pairs((s.name, s.value) for s in diagnosis.settings))


def _print_findings(out: Console, title: str, found: Sequence[Finding], style: str) -> None:
    if not found:
        return
    out.print(f"\n{title}", style=f"bold {style}")
    for finding in found:
        out.print(indented(pairs([("-", str(finding)), ("", finding.way_out)])))


def _print_section(out: Console, title: str, table: Table) -> None:
    if table.row_count:
        out.print(f"\n{title}", style="bold")
        out.print(indented(table))


def _distributions(reports: Sequence[DistributionReport]) -> Table:
    table = Table.grid(padding=(0, 2))
    for report in reports:
        for title, text, status in _rows(report):
            table.add_row(title, text, Text(status, STYLES.get(status, "")))
    return table


def _rows(report: DistributionReport) -> Iterator[tuple[str, str, str]]:
    """Yield a line for each kind and status, and one for what is asked for."""
    title = f"{report.name} {report.version}".rstrip()
    by_kind: dict[tuple[str, str], list[PluginReport]] = {}
    for plugin in report.plugins:
        by_kind.setdefault((plugin.kind, plugin.status), []).append(plugin)
    for (kind, status), plugins in by_kind.items():
        yield title, _offer(kind, plugins), status
        title = ""
    asked = ", ".join(f"{need}" for need in report.requires if need.is_shown)
    if asked:
        yield title, f"asks for {asked}", ""


def _offer(kind: str, plugins: Sequence[PluginReport]) -> str:
    count = len(plugins)
    named = ", ".join(map(_named, plugins))
    return f"{count} {kind}{'' if count == 1 else 's'}: {named}"


def _named(plugin: PluginReport) -> str:
    if plugin.kind != "plugin":
        return plugin.name
    inside = [*plugin.hooks, *(item.name for item in plugin.registers)]
    return f"{plugin.name} ({', '.join(inside)})" if inside else plugin.name


def _kernels(hardware: Hardware) -> Iterator[tuple[str, str]]:
    compiler, cache = hardware.compiler, hardware.kernel_cache
    if compiler.command is None:
        yield "C++ compiler", "none"
    else:
        works = "compiles" if compiler.works else "fails"
        version = compiler.version or "version unknown"
        yield "C++ compiler", f"{compiler.command}, {version}: {works}"
    yield "Triton", hardware.triton or "not installed"
    for device in hardware.devices:
        runs = f"auto takes {device.runs}" if device.runs else "nothing can be stepped"
        fused = "no fused" if device.fused else "fused works"
        described = f"{device.description}: " if device.description else ""
        yield device.name, f"{described}{runs}{'' if device.reason else f', {fused}'}"
    yield "native reader", "not in use" if hardware.native_reader else "in use"
    size = f"{cache.kernels} kernels, {cache.bytes / 2**20:.1f} MiB"
    yield "kernel cache", f"{cache.path}: {size}, {'not ' if cache.reason else ''}writable"
