/* Text that a person types: curses' own forms, as a dialog of several fields or as one line at the
 * bottom. */
#ifndef UI_ENTRY_H
#define UI_ENTRY_H
#include "base/err.h"
#include "base/slice.h"

#define ENTRY_FIELDS_MAX 12
#define ENTRY_TEXT_MAX 4096 /* a key file fits when it is pasted */

struct entry_field {
    const char *label;
    const char *value; /* at first; NULL: empty */
    const char *hint;  /* shown below while the cursor is here; NULL none */
    int width;         /* columns shown; longer text scrolls */
    int most;          /* characters; 0: 256 */
    bool is_hidden;    /* only how much was typed is shown: keys */
};

struct entry;

/** A dialog. NULL: no memory. Borrows nothing. Characters that take no or two columns show as '?'
 * and cannot be typed; a text that was not touched comes back as it was. */
struct entry *entry_open(const char *title, const struct entry_field *fields, int count) NODISCARD;
/** One line in row Y of the screen behind PROMPT. */
struct entry *entry_open_line(int y, const char *prompt, const char *value) NODISCARD;
/** What was typed is wiped. */
void entry_close(struct entry *e);

enum entry_result {
    ENTRY_GOES_ON,
    ENTRY_DONE, /* Enter in the last field, Ctrl-X in any */
    ENTRY_LEFT  /* Esc */
};
/** KEY as term_key gives it. Tab and arrows go from field to field, Enter to the next one. Ends of
 * lines in a paste become spaces, whatever was pasted. */
enum entry_result entry_key(struct entry *e, int key);
/** The text of field I without spaces at its ends; valid until the next call with E. */
struct slice entry_text(struct entry *e, int i);
/** A sentence inside the dialog, e.g. why it was not taken; stays until the next key. */
void entry_complain(struct entry *e, const char *sentence);
void entry_show(struct entry *e);
/** After a change of the terminal's size; Y is the new row of a line. */
void entry_resize(struct entry *e, int y);

#endif
