"""Text from outside never becomes markup."""

import html.parser

from kft.inspection.markup import element

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "]]><svg onload=alert(1)>",
    "\x00<b>\ud800",
)


class Seen(html.parser.HTMLParser):
    """The elements, attributes and texts that a browser would see."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def seen(page: str) -> Seen:
    parser = Seen()
    parser.feed(page)
    parser.close()
    return parser


def test_children_and_attributes_are_escaped():
    for attack in ATTACKS:
        found = seen(element("p", attack, title=attack))
        clean = attack.replace("\x00", "\ufffd").replace("\ud800", "?")
        assert found.tags == ["p"]
        assert found.attributes == [("title", clean)]
        assert "".join(found.texts) == clean


def test_a_list_of_markup_stays_markup():
    assert element("ul", [element("li", 1), element("li", "<")]) == "<ul><li>1</li><li>&lt;</li></ul>"
