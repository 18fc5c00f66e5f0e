"""The terminal model itself."""
import unittest

from screen import Screen


def shown(data, width=10, height=4, **how):
    return Screen(width, height, **how).feed(data)


class Model(unittest.TestCase):
    def test_the_last_column_wraps_with_the_next_character(self):
        self.assertEqual(shown("0123456789").cursor(), (0, 9))
        self.assertEqual(shown("0123456789a").text(), ["0123456789", "a", "", ""])
        self.assertEqual(shown("0123456789\r\nb").text(), ["0123456789", "b", "", ""])
        self.assertEqual(shown("0123456789", wraps_late=False).cursor(), (1, 0))

    def test_cursor_moves(self):
        screen = shown("\033[2;3Hx\033[Ay\033[3Dz\033[4dw\033[9Gv\033[99;99H!")
        self.assertEqual(screen.text(), [" z y", "  x", "", "  w     v!"])
        self.assertEqual(screen.unknown, [])

    def test_erasing(self):
        full = "0123456789" * 4
        self.assertEqual(shown(full + "\033[2;4H\033[K").text()[1], "012")
        self.assertEqual(shown(full + "\033[2;4H\033[1K").text()[1], "    456789")
        self.assertEqual(shown(full + "\033[2;4H\033[J").text(), ["0123456789", "012", "", ""])
        self.assertEqual(shown(full + "\033[2;4H\033[1J").text()[:2], ["", "    456789"])
        self.assertEqual(shown(full + "\033[2;4H\033[3X").text()[1], "012   6789")

    def test_inserting_and_deleting(self):
        four = "a\r\nb\r\nc\r\nd"
        self.assertEqual(shown("012345\033[1;3H\033[2@").text()[0], "01  2345")
        self.assertEqual(shown("012345\033[1;3H\033[2P").text()[0], "0145")
        self.assertEqual(shown("012345\033[1;3H\033[4hxy\033[4l").text()[0], "01xy2345")
        self.assertEqual(shown(four + "\033[2H\033[L").text(), ["a", "", "b", "c"])
        self.assertEqual(shown(four + "\033[2H\033[2M").text(), ["a", "d", "", ""])

    def test_regions_scroll_alone(self):
        four = "a\r\nb\r\nc\r\nd"
        self.assertEqual(shown(four + "\033[2;3r\033[3H\n").text(), ["a", "c", "", "d"])
        self.assertEqual(shown(four + "\033[2;3r\033[2H\033M").text(), ["a", "", "b", "d"])
        self.assertEqual(shown(four + "\033[2;3r\033[S\033[r").text(), ["a", "c", "", "d"])

    def test_characters_in_pieces_and_line_drawing(self):
        screen = Screen(10, 2)
        for byte in "\u00fc\u2588".encode():
            screen.feed(bytes([byte]))
        screen.feed("\033(0lqk\033(B\033)0\016x\017x")
        self.assertEqual(screen.text()[0], "\u00fc\u2588\u250c\u2500\u2510\u2502x")
        self.assertEqual(shown(b"\033[11m\xda\xc4\xbf\033[10m-").text()[0], "\u250c\u2500\u2510-")

    def test_attributes(self):
        screen = shown("\033[1;31ma\033[0;7;48;5;130mb\033[27mc\033[md")
        self.assertTrue(screen.attrs(0, 0).bold)
        self.assertEqual(screen.attrs(0, 0).fg, 1)
        self.assertEqual((screen.attrs(0, 1).reverse, screen.attrs(0, 1).bg), (True, 130))
        self.assertEqual((screen.attrs(0, 2).reverse, screen.attrs(0, 2).bg), (False, 130))
        self.assertIsNone(screen.attrs(0, 3).bg)

    def test_the_other_screen_comes_and_goes(self):
        screen = shown("shell\033[?1049h\033[Hfull")
        self.assertTrue(screen.is_alternate())
        self.assertEqual(screen.text()[0], "full")
        screen.feed("\033[?1049l$")
        self.assertEqual(screen.text()[0], "shell$")

    def test_what_it_does_not_know_is_kept(self):
        self.assertEqual(shown("\033[5y\033[?777h").unknown, ["CSI 5y", "mode ?777"])
