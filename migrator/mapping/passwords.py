"""The forms of password hashes that are known by sight, and how a hash is carried over: tagged, and never hashed again."""

from __future__ import annotations

#: What a value becomes that nobody can sign in with: the new sign-in asks for a new password.
RESET = "$legacy$reset$$"

#: Hexadecimal digests by their name: how many digits.
DIGESTS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}

_CRYPT = "[./0-9A-Za-z]"
_BASE64 = "[A-Za-z0-9+/]"
_COSTS = rf"m=[0-9]+,t=[0-9]+,p=[0-9]+(?:,keyid={_BASE64}*)?(?:,data={_BASE64}*)?"
_ARGON2 = rf"\$(?:v=[0-9]+\$)?{_COSTS}\${_BASE64}+\${_BASE64}+"

#: Forms that say themselves what they are: scheme -> patterns of the whole text. All of it is carried, prefix included.
SPEAKING = {
    "bcrypt": (
        rf"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\${_CRYPT}{{53}}",
        rf"bcrypt\$\$2[aby]\$[0-9]{{2}}\${_CRYPT}{{53}}",
    ),
    "bcrypt-sha256": (rf"bcrypt_sha256\$\$2[aby]\$[0-9]{{2}}\${_CRYPT}{{53}}",),
    "bcrypt-wordpress": (rf"\$wp\$2[aby]\$[0-9]{{2}}\${_CRYPT}{{53}}",),
    "phpass": (rf"\$[PH]\${_CRYPT}{{31}}",),
    "drupal7": (rf"\$S\${_CRYPT}{{52}}",),
    "drupal7-md5": (rf"U\$S\${_CRYPT}{{52}}",),
    **{f"argon2{kind}": (rf"(?:argon2)?\$argon2{kind}{_ARGON2}",) for kind in ("i", "d", "id")},
    "pbkdf2": (
        rf"pbkdf2_sha(?:1|256|512)\$[1-9][0-9]*\$[^$]+\${_BASE64}+={{0,2}}",  # Django
        r"\$pbkdf2(?:-sha256|-sha512)?\$[1-9][0-9]*\$[./A-Za-z0-9]*\$[./A-Za-z0-9]+",  # passlib
        r"pbkdf2:sha(?:1|256|512):[1-9][0-9]*\$[^$]+\$[0-9a-f]+",  # Werkzeug
    ),
    "scrypt": (
        rf"\$scrypt\$ln=[0-9]+,r=[0-9]+,p=[0-9]+\${_BASE64}*\${_BASE64}+",  # passlib
        rf"scrypt\$[^$]+\$[0-9]+\$[0-9]+\$[0-9]+\${_BASE64}+={{0,2}}",  # Django
        r"scrypt:[0-9]+:[0-9]+:[0-9]+\$[^$]+\$[0-9a-f]+",  # Werkzeug
        rf"\$7\${_CRYPT}{{11,}}\${_CRYPT}{{43}}",  # crypt(3)
    ),
}


def known() -> dict[str, str]:
    """
    Say every form as a pattern with the groups `hash` and, where it stands apart, `salt`: scheme -> pattern.

    A digest alone, or with its salt behind a colon. A second colon is no part of a salt: what stands behind it
    (Magento 2 writes a version there) would be lost as a part of the salt, so such a text is not known.
    """
    forms = {scheme: rf"(?<hash>{'|'.join(patterns)})" for scheme, patterns in SPEAKING.items()}
    for name, digits in DIGESTS.items():
        forms[name] = rf"(?<hash>[0-9a-fA-F]{{{digits}}})"
        forms[f"{name}-salted"] = rf"(?<hash>[0-9a-fA-F]{{{digits}}}):(?<salt>[^:$]+)"
    return forms
