"""Reads a page of report_html() and prints what is in it, for ranking_page.t.

    page.py < page.html       problems of its markup, then texts and pictures
    page.py 390 < page.html   a page around it that measures it, 390 pixels wide

A line each: "problem", "text" or "title" and a tab before it.
"""
import html
import html.parser
import sys

KNOWN = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article", "div",
    "h1", "h2", "h3", "p", "span", "b", "dl", "dt", "dd", "table", "tr", "th", "td", "svg", "rect", "line",
}
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "id", "class", "role", "aria-label", "viewbox",
    "preserveaspectratio", "x", "y", "x1", "x2", "y1", "y2", "width", "height",
}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []
        self.said = []

    def say(self, kind, text):
        self.said.append(kind + "\t" + " ".join(text.split()))

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if tag not in KNOWN:
            self.say("problem", f"element {tag}")
        for name in names:
            if name not in ATTRIBUTES:
                self.say("problem", f"attribute {name} of {tag}")
        if len(set(names)) < len(names):
            self.say("problem", f"an attribute twice in {tag}")
        if tag != "meta" and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.say("problem", f"</{tag}> closes nothing")

    def handle_data(self, data):
        within = self.open[-1] if self.open else ""
        if within == "style":
            for word in ("@import", "url(", "expression"):
                if word in data:
                    self.say("problem", f"{word} in style")
        elif data.strip():
            self.say("title" if within == "title" else "text", data)


# What the browser writes into the page: sizes in pixels, and what sticks out.
MEASURE = """
function box(element) {
  const r = element.getBoundingClientRect();
  return {class: element.getAttribute('class'), x: r.x, y: r.y, width: r.width, height: r.height, title: element.textContent};
}
function lines(element) {
  const range = element.ownerDocument.createRange();
  range.selectNodeContents(element);
  return new Set(Array.from(range.getClientRects()).map(r => Math.round(r.top))).size;
}
function measure(frame) {
  const page = frame.contentDocument, root = page.documentElement;
  const all = selector => Array.from(page.querySelectorAll(selector));
  const found = {
    overflow: root.scrollWidth - root.clientWidth,
    outside: all('p,h1,h2,h3,td,th,dt,dd,span,b').filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
      .map(e => e.textContent),
    overlap: all('td').filter(e => e.nextElementSibling &&
      e.getBoundingClientRect().right > e.nextElementSibling.getBoundingClientRect().left + 1).length,
    broken: all('dd,.num,.big,b').filter(e => lines(e) > 1).map(e => e.textContent),
    columns: new Set(all('#series article').map(e => e.getBoundingClientRect().x)).size,
    fontsize: Math.min(...all('p,td,th,dd,dt,span').map(e => parseFloat(frame.contentWindow.getComputedStyle(e).fontSize))),
    paper: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    ink: frame.contentWindow.getComputedStyle(page.body).color,
    scripts: all('script').length,
    charts: all('#series article').map(e => ({
      industry: e.querySelector('h3').textContent,
      bars: Array.from(e.querySelectorAll('.chart rect')).map(box),
      average: box(e.querySelector('.average')), zero: box(e.querySelector('.zero'))})),
    podium: all('#podium article').map(e => ({
      industry: e.querySelector('h3').textContent, bars: Array.from(e.querySelectorAll('rect')).map(box),
      scale: box(e.querySelector('svg')).width})),
  };
  const out = document.createElement('pre');
  out.id = 'measured';
  out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  document.body.append(out);
}
"""


def around(page, width):
    return (
        '<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark"><body style="margin:0">'
        f"<script>{MEASURE}</script>"
        f'<iframe style="border:0;width:{width}px;height:1200px" onload="measure(this)" srcdoc="{html.escape(page)}"></iframe>'
    )


def main():
    page = sys.stdin.read()
    if len(sys.argv) > 1:
        print(around(page, int(sys.argv[1])))
        return
    parser = Page()
    parser.feed(page)
    parser.close()
    for tag in parser.open:
        parser.say("problem", f"{tag} is not closed")
    try:
        import html5lib
    except ImportError:
        pass
    else:
        try:
            html5lib.HTMLParser(strict=True).parse(page)
        except html5lib.html5parser.ParseError as error:
            parser.say("problem", f"html5lib: {error}")
    print("\n".join(parser.said))


main()
