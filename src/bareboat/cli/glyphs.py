"""Letters for pictures, drawn for bareboat: 5 dots wide, 7 high, a digit to base 32 for each row from above."""

from __future__ import annotations

WIDE, HIGH = 5, 7
UNKNOWN = "vhhhhhv"
_LETTERS = " 0123456789.,-+/_:;=()[]{}<>*%#@&!?'\"^~|\\$`…ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROWS = """
0000000
ehjlphe 4c4444e eh168gv eh161he 26aiv22 vgu11he egguhhe v124888 ehhehhe ehhf11e
00000cc 0000c48 000e000 044v440 11248gg 000000v 0cc0cc0 0cc0c48 00v0v00
2488842 8422248 e88888e e22222e 2448442 8442448 248g842 8421248
04lel40 op248j3 aavavaa ehnlnge cik8lid 4444404 eh12404 4400000 aa00000 4ah0000 008l200 4444444 gg84211
4fke5u4 8400000 000000l
ehhvhhh uhhuhhu ehggghe uhhhhhu vgguggv vgguggg ehgnhhf hhhvhhh e44444e 72222ic hikokih ggggggv hrllhhh
hpljhhh ehhhhhe uhhuggg ehhhlid uhhukih fgge11u v444444 hhhhhhe hhhhha4 hhhllla hha4ahh hha4444 v1248gv
00e1fhf gguhhhu 00egghe 11fhhhf 00ehvge 68s8888 0fhhf1e gguhhhh 40c444e 20622ic ggikoki c44444e 00qllll
00uhhhh 00ehhhe 00uhugg 00fhf11 00mpggg 00fge1u 88s8886 00hhhhf 00hhha4 00hhlla 00ha4ah 00hhf1e 00v248v
"""
GLYPHS = dict(zip(_LETTERS, _ROWS.split(), strict=True))
