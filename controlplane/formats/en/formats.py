"""
How Django writes dates and times: those of its own for `en` win over the settings of these names.
"""

DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
DATETIME_FORMAT = "Y-m-d H:i:s"
