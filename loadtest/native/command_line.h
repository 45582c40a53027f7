/* Values of options, checked; a wrong one ends the program with what would be right. */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

long whole_number(const char *option, const char *text, long least, long most);
double decimal_number(const char *option, const char *text, double least, double most);

#endif
