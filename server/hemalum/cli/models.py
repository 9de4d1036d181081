"""`hemalum models list|show|check|install`."""

from __future__ import annotations

import click

from hemalum.cli.options import MODELS


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def models():
    """List, show, check or install models."""


def _json(command):
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


@models.command("list")
@MODELS
@_json
def list_(folders, as_json):
    """Models that can be used, and packages that cannot."""

    from hemalum.cli.common import echo_json
    from hemalum.models import list_models

    broken: list[str] = []
    found = list_models(folders, broken)
    if as_json:
        rows = [
            {
                "id": m.id,
                "version": m.card.version,
                "mpp": m.card.mpp,
                "licence": m.card.licence,
                "folder": str(m.folder),
            }
            for m in found
        ]
        echo_json({"models": rows, "broken": broken})
        return
    for model in found:
        click.echo(
            f"{model.id:20} {model.card.version:8} {model.card.mpp:g} µm/px  {model.card.licence['weights']:16} "
            f"{model.folder}"
        )
    if not found:
        click.echo("no models; install one with `hemalum models install DIR`")
    for sentence in broken:
        click.echo(f"hemalum: {sentence}", err=True)


@models.command()
@click.argument("model_id", metavar="ID", default="nuclei")
@MODELS
@_json
def show(model_id, folders, as_json):
    """The card of a model: what it learned from, how well it does, its licence."""
    import json

    from hemalum.cli.common import echo_json
    from hemalum.models import find

    model = find(model_id, folders)
    card = model.card.to_dict()
    if as_json:
        echo_json({**card, "folder": str(model.folder)})
        return
    click.echo(f"{model.id} {model.card.version}: {model.card.description or 'no description'}")
    click.echo(f"licence of the weights: {card['licence']['weights']} ({card['licence']['why']})")
    for key in ("mpp", "output_scale", "halo", "largest_nucleus_um"):
        click.echo(f"{key}: {card[key]}")
    for key in ("thresholds", "data", "scores", "precision", "files"):
        click.echo(f"{key}: {json.dumps(card[key], indent=1, ensure_ascii=False)}")
    click.echo(f"made again by: {card['rebuild'] or 'not stated'}")
    click.echo(f"folder: {model.folder}")


@models.command()
@click.argument("model_ids", metavar="[ID]...", nargs=-1)
@MODELS
@_json
def check(model_ids, folders, as_json):
    """Verify files and sums of models, and that they compute here what they computed when they were made."""

    from hemalum.cli.common import echo_json
    from hemalum.engine.onnx_engine import OnnxEngine
    from hemalum.errors import DamagedModel, HemalumError
    from hemalum.models import check as check_files
    from hemalum.models import find, list_models

    broken: list[str] = []
    chosen = [find(name, folders) for name in model_ids] or list_models(folders, broken)
    rows = []
    for model in chosen:
        problems, engine = check_files(model), None
        if not problems:
            try:
                engine = OnnxEngine(model)
            except HemalumError as error:
                problems = [str(error)]
        rows.append(
            {
                "id": model.id,
                "folder": str(model.folder),
                "problems": problems,
                "device": engine.device if engine else None,
                "notices": engine.notices if engine else [],
            }
        )
    if as_json:
        echo_json({"models": rows, "broken": broken})
    else:
        for row in rows:
            click.echo(f"{row['id']}: {'; '.join(row['problems']) or 'good, ' + row['device']}")
            for sentence in row["notices"]:
                click.echo(f"{row['id']}: {sentence}")
    bad = [*broken, *(problem for row in rows for problem in row["problems"])]
    if bad:
        raise DamagedModel(bad[0])


@models.command()
@click.argument("folder", metavar="DIR", type=click.Path())
@_json
def install(folder, as_json):
    """Copy the model package in DIR to your own model folder, where every command and server finds it."""
    import json

    from hemalum.models import install as install_model

    model = install_model(folder)
    if as_json:
        click.echo(
            json.dumps({"id": model.id, "version": model.card.version, "folder": str(model.folder)}, ensure_ascii=False)
        )
    else:
        click.echo(f"{model.id} {model.card.version} installed in {model.folder}")
