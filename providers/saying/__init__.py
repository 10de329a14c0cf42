"""
How numbers and times are said to people.

    counting      a number with what it counts; without Django
    ages          a time, and how long ago that was, in admin
    rows_called   what the foot of a list calls its rows, in admin

Everybody may enter.
"""
