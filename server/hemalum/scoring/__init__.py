"""How well: scores of label images (`metrics`), of folders of them (`pairs`), the worst to look at (`contact_sheet`).

`pages` writes HTML, for reports of jobs and of trainings, too.
"""
