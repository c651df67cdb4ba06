"""What a report says of images and files that were not looked at, or not as they stand."""

from __future__ import annotations

from interlock.gate import Finding, Gap, Json, Level, Location, Measure
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Columns, Source
from interlock.poisoning.survey import Profile

MAX_NAMED = 5
MAX_NAME = 120


def image_measures(profile: Profile, columns: Columns) -> tuple[Measure, ...]:
    """How many images could not be read and how many were resized; nothing where there are no encoded images."""
    if columns.image is None and not profile.unread and not profile.resized:
        return ()
    return (
        Measure(name="unreadable_images", value=profile.unread, unit="rows"),
        Measure(name="resized_images", value=profile.resized, unit="rows"),
    )


def image_remarks(profile: Profile, columns: Columns) -> tuple[Finding, ...]:
    """Findings of images that were not looked at as they stand.

    Args:
        profile: Of the dataset.
        columns: With the shape that images were drawn to.
    """
    remarks = []
    if profile.unread:
        evidence: dict[str, Json] = {
            "rows": profile.unread,
            "first_rows": [one.row for one in profile.first_unread],
            "first": [{"name": one.name[:MAX_NAME], "reason": one.reason} for one in profile.first_unread],
        }
        remarks.append(
            Finding(
                rule_id="data-poisoning.unreadable-images",
                level=Level.WARNING,
                message=unread_text(profile),
                location=Location(path=profile.first_unread[0].name),
                evidence=canonical_json(evidence).decode(),
            )
        )
    if profile.resized and columns.image_shape is not None:
        shape = "x".join(str(side) for side in columns.image_shape)
        message = (
            f"{profile.resized} of {profile.rows} images have another size or colour than {shape}; each was drawn to "
            "it before it was looked at, and a pattern of a few pixels in a large image may be lost by that"
        )
        remarks.append(Finding(rule_id="data-poisoning.resized-images", level=Level.NOTE, message=message))
    return tuple(remarks)


def unread_text(profile: Profile) -> str:
    """How many images could not be read, the first by name and reason."""
    named = "; ".join(f"{one.name[:MAX_NAME]}: {one.reason}" for one in profile.first_unread[:MAX_NAMED])
    more = f"; and {profile.unread - MAX_NAMED} more" if profile.unread > MAX_NAMED else ""
    return f"{profile.unread} of {profile.rows} images were not looked at ({named}{more})"


def not_read(source: Source) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
    """The parts of a subject that were skipped, and those that nobody could read.

    Args:
        source: Of one opened subject.
    """
    columns = tuple(
        Gap(path=source.shown(part.file), reason=f"{what} holds neither numbers nor text")
        for part in source.parts
        for what in part.left_out(source.columns)
    )
    return (*source.skipped, *columns), source.unread
