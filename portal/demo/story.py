"""Plays the demonstration's story: one withdrawal, as customer, service and regulator see it.

A service reads a customer's data, the customer withdraws, the service's next read is refused and
answered synthetically, and a regulator verifies the receipt with nothing but a public key.
"""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from gate.decision.decide import View
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import TableAnswer, read_table
from gate.reads.request import Answer, ReadRequest
from ledger import clock
from ledger.events.envelope import Withdrawn
from ledger.tlog import atomic_file
from ledger.verify.cli import main as verify
from ledger.witness import own_witnesses
from portal.consent.wording import wording
from portal.demo import load
from portal.jobs.cases import flow_of
from portal.operations import release_service
from portal.operations.settings import Settings
from portal.operations.wiring import Product, open_product
from portal.web import i18n
from steward.cases.case import Cases
from steward.language import catalogue
from steward.notify import notice

SCENE = "segmentation"
SERVICE = "analytics"
FIELDS = ("age", "job", "balance", "housing")


def play(settings: Settings, console: Console | None = None) -> Product:
    """Load what is missing, play the story, publish the logs; returns the product to serve."""
    console = console or Console(highlight=False)
    product = _loaded(settings, console)
    _watch(product, console)
    flow = flow_of(product)
    flow.begin(clock.now())
    customer = _someone(product)
    before = _read(product, customer)
    _print_read(console, f"1  {SERVICE} reads customer {customer} for {SCENE}", before)
    receipt = _withdraw(product, customer)
    console.print(f"\n[bold]2  {customer} withdraws {SCENE}[/]")
    console.print(f"   receipt {receipt}")
    after = _read(product, customer)
    _print_read(console, "3  the same read again", after)
    flow.run(clock.now())
    flow.close()
    _print_case(console, product)
    _print_table(console, _table(product))
    product.keep_state()
    product.publish()
    _print_proof(console, product, receipt)
    return product


def _watch(product: Product, console: Console) -> None:
    """Begin to have the logs witnessed, unless they are already.

    The customers of the demonstration agreed before it began, which no witness can have seen.
    """
    if not (product.home / own_witnesses.POLICY).exists():
        own_witnesses.make(product.home)
        product.ledger.ask_witnesses(product.home)
    if own_witnesses.exist(product.home):
        console.print(own_witnesses.NOT_INDEPENDENT)


def _loaded(settings: Settings, console: Console) -> Product:
    home = settings.data_dir
    with console.status("building the customers' table"):
        load.customers(home)
    product = open_product(settings)
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("recording grants")
        granted = load.grants(product, lambda done, of: bar.update(task, completed=done, total=of))
    product.keep_state()  # what follows the log starts here, not at its first entry
    with Bar(console=console, transient=True) as bar:
        missing = release_service.unreleased(product)
        for scene in bar.track(missing, description="fitting synthetic releases"):
            release_service.release(product, scene, clock.now())
    _print_loaded(console, product, granted)
    return product


def _print_loaded(console: Console, product: Product, granted: int) -> None:
    size, root = product.ledger.root()
    console.print(
        f"customers loaded   {product.gate.source.count():,} (UCI Bank Marketing, CC BY 4.0)"
    )
    console.print(f"grants recorded    {granted:,} in {len(product.scenes)} scenes")
    console.print(f"ledger             {size:,} entries, root {root}")
    for scene in product.scenes.values():
        if (released := product.gate.release(scene.id)) is not None:
            console.print(f"synthetic release  {released.id}")


def _someone(product: Product) -> str:
    """A customer who allows every field in FIELDS."""
    return product.gate.consenting(SCENE, FIELDS, clock.now())[0]


def _read(product: Product, customer: str) -> Answer:
    return product.gate.read(ReadRequest(SERVICE, SCENE, customer, FIELDS, clock.now()))


def _withdraw(product: Product, customer: str) -> Path:
    shown = wording(product.scenes[SCENE], i18n.load()["en"])
    instruction = product.ledger.draft(customer, Withdrawn(SCENE), at=clock.now(), wording=shown)
    (recorded,) = product.ledger.record([instruction])
    path = product.home / "receipts" / f"{recorded.index}.tlog-proof"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_file.write(path, product.ledger.receipt(recorded.index).encode())
    return path


def _table(product: Product) -> TableAnswer:
    return read_table(product.gate, TableRequest(SERVICE, SCENE, FIELDS, clock.now()))


def _print_read(console: Console, title: str, answer: Answer) -> None:
    decision = answer.decision
    console.print(f"\n[bold]{title}[/]")
    verdict = "allowed" if decision.allowed else "refused"
    console.print(
        f"   decision {verdict} ({decision.reason}) at ledger size {decision.ledger_size:,},"
        f" determined by entry {decision.determined_by}; journalled as entry {answer.entry}"
    )
    grid = Table(box=None, padding=(0, 2), show_header=False)
    for field, view in answer.views.items():
        grid.add_row(f" {field}", str(answer.values[field]), view)
    console.print(grid)
    if synthetic := _synthetic(answer.views):
        console.print(f"   answered synthetically: {', '.join(synthetic)}")


def _print_case(console: Console, product: Product) -> None:
    """The newest case of the scene, in the words that the account manager is sent."""
    case = next(each for each in Cases(product.home).open_cases() if each.scene == SCENE)
    english = catalogue.load()["en"]
    letter = notice.text(notice.NoticeType.OPENED, case, product.scenes[SCENE], english)
    console.print(f"\n[bold]4  the account manager is told (case {case.id})[/]")
    for line in (letter["title"], *letter["body"].splitlines()):
        console.print(f"   {line}")


def _print_table(console: Console, answer: TableAnswer) -> None:
    console.print(f"\n[bold]5  {SERVICE} reads everybody for {SCENE}[/]")
    console.print(
        f"   {answer.table.num_rows:,} rows, same schema: {answer.authorised:,} authorised,"
        f" {answer.synthetic:,} synthetic ({answer.mode}) in place of the others; no identifiers"
    )
    console.print(f"   error of a segment's count: {answer.error}")


def _print_proof(console: Console, product: Product, receipt: Path) -> None:
    policy = product.home / "consent.policy"
    command = f"sovereign verify {receipt} --policy {policy}"
    console.print(f"\n[bold]6  a regulator verifies, offline[/]\n   {command}")
    if verify([str(receipt), "--policy", str(policy)]) != 0:
        raise AssertionError("the receipt just written does not verify")
    console.print(f"   public logs in {product.home / 'log'}")


def _synthetic(views: Mapping[str, View]) -> list[str]:
    return [field for field, view in views.items() if view is View.SYNTHETIC]
