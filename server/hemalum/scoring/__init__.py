"""How well: scores of label images (`metrics`), of folders of them (`pairs`), and the page that shows the worst first."""
