"""The verb ``frontier``: the effective length with a certificate, from as few contexts as that takes."""
