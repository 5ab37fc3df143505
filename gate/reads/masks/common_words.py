"""Words of a language that are also names: `Bill`, `Will`, `Lange`, `Blanco`.

A name of such words alone counts only if each is written with a capital letter, or if the text has
no capital letter. Spelled as in the shadow: small letters without accents. Each word added here is
a name that is left where somebody writes it small. German nouns have a capital letter anyway.
"""

COMMON_WORDS = {
    *("bill", "will", "mark", "may", "grace", "hope", "faith", "joy", "rose", "art", "rich"),
    *("frank", "grant", "chase", "drew", "pat", "sue", "rob", "jack", "dean", "dawn", "daisy"),
    *("ivy", "lily", "ruby", "pearl", "iris", "crystal", "carol", "gene", "guy", "ray", "miles"),
    *("penny", "wade", "chip", "skip", "buck", "april", "june", "august", "summer", "autumn"),
    *("king", "young", "long", "short", "white", "black", "brown", "green", "gray", "day", "good"),
    *("best", "price", "cook", "page", "field", "fields", "case", "love", "major"),
    *("stone", "wood", "woods", "hill", "hills", "lake", "rivers", "fox", "wolf", "bush", "rice"),
    *(
        "bell",
        "ball",
        "bird",
        "fish",
        "small",
        "little",
        "strong",
        "wise",
        "sharp",
        "swift",
        "west",
    ),
    *("north", "power", "church", "street", "rush", "moon", "post", "hall", "park", "gay"),
    *("marks", "waters", "noble", "savage", "baker", "carter", "cash", "sale", "gross"),
    *("klein", "lang", "kurz", "schwarz", "weiss", "weiß", "groß", "braun", "jung", "ernst"),
    *("reich", "stark", "wild", "lieb", "lange", "neu", "alt", "roth", "grün", "grun"),
    *("rosa", "luz", "paz", "mar", "sol", "cruz", "blanco", "bueno", "rubio", "delgado", "moreno"),
    *("bravo", "rico", "calvo", "leal", "alegre", "cabello", "pilar", "consuelo", "mercedes"),
}
