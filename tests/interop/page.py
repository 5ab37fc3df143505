"""In Chromium: a question a line on standard input, an answer a line on standard output.

A process of its own, since the event loop that drives a browser admits no other beside it.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, Route, sync_playwright

from tests.browser import find
from tests.interop.opinions import MODULES

PLACE = "https://verifier.example"  # WebCrypto wants a secure page; nothing leaves the machine
STATIC = Path(__file__).parents[2] / "portal/web/static"
FILES = {f"/{name}": STATIC / name for name in (*MODULES, "canonical.js")}
FILES["/judge.mjs"] = Path(__file__).parent / "judge.mjs"
ASK = """async ([questions, names]) => {
  const modules = names.map((name) => import(`/${name}`));
  const verifier = Object.assign({}, ...(await Promise.all(modules)));
  const { judge } = await import("/judge.mjs");
  const answers = [];
  for (const each of questions) answers.push(await judge(verifier, each));
  return answers;
}"""


def main() -> None:
    questions = [json.loads(line) for line in sys.stdin]
    with sync_playwright() as playwright:
        path = find.find()
        browser = playwright.chromium.launch(executable_path=path, args=find.arguments())
        answers = _opened(browser.new_page()).evaluate(ASK, [questions, MODULES])
        browser.close()
    sys.stdout.write("".join(f"{each}\n" for each in answers))


def _opened(page: Page) -> Page:
    page.route("**/*", _serve)
    page.goto(PLACE)
    return page


def _serve(route: Route) -> None:
    path = FILES.get(route.request.url.removeprefix(PLACE))
    body = path.read_text("utf-8") if path else "<!doctype html><title>Verifier</title>"
    kind = "text/javascript" if path else "text/html"
    route.fulfill(body=body, content_type=f"{kind}; charset=utf-8")


if __name__ == "__main__":
    main()
