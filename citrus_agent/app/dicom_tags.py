"""The technical facts of a DICOM header that may leave the loader. Knows nothing of pixels, and lets no identifier pass.

An allow-list, never a block-list: a tag that is not named here does not exist for the rest of the program. Coded tags pass only with
a value of the standard; the two free texts (manufacturer and model) are cleaned, shortened, and dropped where they repeat an identifier.
"""

from __future__ import annotations

import re
from typing import Any, get_args

from pydicom.dataset import Dataset
from pydicom.uid import UID

from citrus_agent.app.picture import Source
from citrus_agent.core.study import Modality

_FREE = {"Manufacturer": 64, "ManufacturerModelName": 64}
_NUMBERS = ("Rows", "Columns", "NumberOfFrames", "BitsStored", "SamplesPerPixel")
_CODED = {"LossyImageCompression": "00 01", "BurnedInAnnotation": "YES NO"}
_SIDES = {"L": "left", "R": "right"}
_HASHED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_IDENTIFIERS = (
    "PatientName PatientID OtherPatientIDs PatientBirthDate AccessionNumber InstitutionName ReferringPhysicianName OperatorsName "
    "PerformingPhysicianName StationName StudyID StudyDate"
)
_MODALITIES = set(get_args(Modality)) - {"unknown"}
# The values of Body Part Examined that pass: terms of DICOM PS3.16 Annex L.
_BODY_PARTS = (
    "ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA AXILLA BACK BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF CAROTID CEREBELLUM "
    "CSPINE CLAVICLE COCCYX COLON CORNEA CORONARYARTERY DUODENUM EAR ELBOW EXTREMITY EYE FACE FEMUR FINGER FOOT GALLBLADDER HAND HEAD "
    "HEADNECK HEART HIP HUMERUS ILEUM JAW JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LUNG MEDIASTINUM MOUTH NECK NOSE ORBIT OVARY "
    "PANCREAS PAROTID PATELLA PELVIS PENIS PHARYNX PROSTATE RECTUM RIB SCALP SCAPULA SCROTUM SHOULDER SKULL SPINE SPLEEN SSPINE STERNUM "
    "STOMACH TESTIS THIGH THORAX CHEST THUMB THYMUS THYROID TIBIA TOE TONGUE TRACHEA TSPINE URETER URETHRA UTERUS VAGINA WHOLEBODY WRIST"
)
_BREAST_CODES = {"76752008", "T-04000"}
_VIEWS = "CC MLO ML LM LMO XCCL XCCM FB SIO ISO CV AT AP PA LL RL LLD LLO RLD RLO"


def describe(header: Dataset, source: Source) -> None:
    """Fill in modality, body part, laterality, view and provenance; ``uids`` still holds plain UIDs, which the loader hashes."""
    source.modality = _modality(header)
    source.body_part = _body_part(header, source.modality)
    source.laterality = _laterality(header)
    source.view = _code(header, "ViewPosition", _VIEWS) or "unknown"
    source.provenance = _provenance(header)
    source.uids = {name: str(header[name].value) for name in _HASHED if header.get(name)}
    source.person = str(header.get("PatientID") or "") or None


def _modality(header: Dataset) -> str:
    value = str(header.get("Modality") or "").strip().upper()
    return "unknown" if not value else value if value in _MODALITIES else "OT"


def _body_part(header: Dataset, modality: str) -> str:
    found = _code(header, "BodyPartExamined", _BODY_PARTS)
    codes = {str(item.get("CodeValue", "")) for item in header.get("AnatomicRegionSequence") or ()}
    # The mammography IODs allow no other body part.
    if found is None and (codes & _BREAST_CODES or modality == "MG"):
        return "breast"
    return (found or "unknown").lower()


def _laterality(header: Dataset) -> str:
    """Left or right where every tag that speaks of one side says the same."""
    sides = {_SIDES.get(str(header.get(name)).strip().upper(), "both") for name in _SIDE_TAGS if header.get(name)}
    return sides.pop() if len(sides) == 1 and "both" not in sides else "unknown"


_SIDE_TAGS = ("ImageLaterality", "FrameLaterality", "Laterality")


def _code(header: Dataset, name: str, allowed: str) -> str | None:
    value = str(header.get(name) or "").strip().upper()
    return value if value in allowed.split() else None


def _provenance(header: Dataset) -> dict[str, str]:
    facts = {name: str(int(header[name].value)) for name in _NUMBERS if header.get(name)}
    facts |= {name: code for name, allowed in _CODED.items() if (code := _code(header, name, allowed))}
    facts |= {name: code for name in _SIDE_TAGS if (code := _code(header, name, "L R B U"))}
    known = {"BodyPartExamined": _BODY_PARTS, "ViewPosition": _VIEWS}
    facts |= {name: code for name, allowed in known.items() if (code := _code(header, name, allowed))}
    for name, value in (("SOPClassUID", header.get("SOPClassUID")), ("TransferSyntaxUID", header.file_meta.get("TransferSyntaxUID"))):
        if value:
            facts[name] = str(value) if UID(str(value)).name != str(value) else "private"
    names = _identifying_words(header)
    texts = {name: clean_text(header.get(name), limit) for name, limit in _FREE.items()}
    return facts | {name: text for name, text in texts.items() if text and not names & _word_set(text)}


def clean_text(value: Any, limit: int) -> str:
    """One line of printable characters, at most ``limit``."""
    printable = "".join(char if char.isprintable() else " " for char in str(value or ""))
    return " ".join(printable.split())[:limit].strip()


def _word_set(text: str) -> set[str]:
    return {word for word in re.split(r"[\W_]+", text.casefold()) if len(word) > 2}


def _identifying_words(header: Dataset) -> set[str]:
    return set().union(*(_word_set(str(header.get(name) or "")) for name in _IDENTIFIERS.split()))
