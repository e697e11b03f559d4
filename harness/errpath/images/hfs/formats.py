"""On-disk layouts of HFS, HFS+ and Apple partition maps, in Apple's own field names.

Sources: Inside Macintosh: Files (HFS), Inside Macintosh: Devices (partition maps), Apple Technical
Note TN1150 (HFS+ and its journal). All integers are big endian. Each table states the offset of
every field, and a table with a hole is refused when this module is imported.
"""

from __future__ import annotations

from errpath.images.hfs.layout import Row, Struct

__all__ = [
    "ATTRIBUTE_EXTENTS",
    "ATTRIBUTE_FORK",
    "ATTRIBUTE_INLINE",
    "BLOCK0",
    "BT_HEADER",
    "HFSPLUS_ATTRIBUTE_KEY",
    "HFSPLUS_CATALOG_KEY",
    "HFSPLUS_EXTENT",
    "HFSPLUS_EXTENT_KEY",
    "HFSPLUS_EXTENT_RECORD",
    "HFSPLUS_FILE",
    "HFSPLUS_FOLDER",
    "HFSPLUS_FORK",
    "HFSPLUS_THREAD",
    "HFS_CATALOG_KEY",
    "HFS_DIRECTORY",
    "HFS_EXTENT_KEY",
    "HFS_EXTENT_RECORD",
    "HFS_FILE",
    "HFS_THREAD",
    "INDEX_POINTER",
    "JOURNAL_HEADER",
    "JOURNAL_INFO_BLOCK",
    "MDB",
    "NODE_DESCRIPTOR",
    "PARTITION_MAP_ENTRY",
    "PARTITION_MAP_OLD",
    "VOLUME_HEADER",
]


def _table(name: str, *rows: Row, aliases: dict[str, str] | None = None, tail: str = "") -> Struct:
    return Struct(name=name, rows=rows, aliases=tuple((aliases or {}).items()), tail=tail)


# --- Both filesystems -----------------------------------------------------------------------

# BTNodeDescriptor, TN1150 "Node Structure"; Inside Macintosh calls it NodeDescriptor with an nd
# before each name. The kernel's names are the aliases.
NODE_DESCRIPTOR = _table(
    "BTNodeDescriptor",
    (0x00, "fLink", "u32"),
    (0x04, "bLink", "u32"),
    (0x08, "kind", "s8"),  # -1 leaf, 0 index, 1 header, 2 map
    (0x09, "height", "u8"),  # leaves are 1
    (0x0A, "numRecords", "u16"),
    (0x0C, "reserved", "u16"),
    aliases={"next": "fLink", "prev": "bLink", "type": "kind", "num_recs": "numRecords"},
)

# BTHeaderRec, the first record of the header node.
BT_HEADER = _table(
    "BTHeaderRec",
    (0x00, "treeDepth", "u16"),
    (0x02, "rootNode", "u32"),
    (0x06, "leafRecords", "u32"),
    (0x0A, "firstLeafNode", "u32"),
    (0x0E, "lastLeafNode", "u32"),
    (0x12, "nodeSize", "u16"),
    (0x14, "maxKeyLength", "u16"),
    (0x16, "totalNodes", "u32"),
    (0x1A, "freeNodes", "u32"),
    (0x1E, "reserved1", "u16"),
    (0x20, "clumpSize", "u32"),
    (0x24, "btreeType", "u8"),
    (0x25, "keyCompareType", "u8"),
    (0x26, "attributes", "u32"),
    (0x2A, "reserved3", ("u32", 16)),
    aliases={
        "depth": "treeDepth",
        "root": "rootNode",
        "firstLeaf": "firstLeafNode",
        "lastLeaf": "lastLeafNode",
    },
)

# The data of an index record.
INDEX_POINTER = _table("IndexPointer", (0x00, "node", "u32"))

_POINT = _table("Point", (0x00, "v", "s16"), (0x02, "h", "s16"))
_RECT = _table(
    "Rect",
    (0x00, "top", "s16"),
    (0x02, "left", "s16"),
    (0x04, "bottom", "s16"),
    (0x06, "right", "s16"),
)
_FINFO = _table(
    "FInfo",
    (0x00, "fdType", "u32"),
    (0x04, "fdCreator", "u32"),
    (0x08, "fdFlags", "u16"),
    (0x0A, "fdLocation", _POINT),
    (0x0E, "fdFldr", "u16"),
)
_FXINFO = _table(
    "FXInfo",
    (0x00, "fdIconID", "u16"),
    (0x02, "fdUnused", "8s"),
    (0x0A, "fdComment", "u16"),
    (0x0C, "fdPutAway", "u32"),
)
_DINFO = _table(
    "DInfo",
    (0x00, "frRect", _RECT),
    (0x08, "frFlags", "u16"),
    (0x0A, "frLocation", _POINT),
    (0x0E, "frView", "u16"),
)
_DXINFO = _table(
    "DXInfo",
    (0x00, "frScroll", _POINT),
    (0x04, "frOpenChain", "u32"),
    (0x08, "frUnused", "u16"),
    (0x0A, "frComment", "u16"),
    (0x0C, "frPutAway", "u32"),
)

# --- HFS ------------------------------------------------------------------------------------

_HFS_EXTENT = _table("ExtDescriptor", (0x00, "xdrStABN", "u16"), (0x02, "xdrNumABlks", "u16"))
HFS_EXTENT_RECORD = _table("ExtDataRec", (0x00, "extent", (_HFS_EXTENT, 3)))
_STR27 = _table("Str27", (0x00, "length", "u8"), (0x01, "text", "27s"))
_STR31 = _table("Str31", (0x00, "length", "u8"), (0x01, "text", "31s"))

MDB = _table(
    "MDB",
    (0x00, "drSigWord", "u16"),
    (0x02, "drCrDate", "u32"),
    (0x06, "drLsMod", "u32"),
    (0x0A, "drAtrb", "u16"),
    (0x0C, "drNmFls", "u16"),
    (0x0E, "drVBMSt", "u16"),
    (0x10, "drAllocPtr", "u16"),
    (0x12, "drNmAlBlks", "u16"),
    (0x14, "drAlBlkSiz", "u32"),
    (0x18, "drClpSiz", "u32"),
    (0x1C, "drAlBlSt", "u16"),
    (0x1E, "drNxtCNID", "u32"),
    (0x22, "drFreeBks", "u16"),
    (0x24, "drVN", _STR27),
    (0x40, "drVolBkUp", "u32"),
    (0x44, "drVSeqNum", "u16"),
    (0x46, "drWrCnt", "u32"),
    (0x4A, "drXTClpSiz", "u32"),
    (0x4E, "drCTClpSiz", "u32"),
    (0x52, "drNmRtDirs", "u16"),
    (0x54, "drFilCnt", "u32"),
    (0x58, "drDirCnt", "u32"),
    (0x5C, "drFndrInfo", ("u32", 8)),
    (0x7C, "drEmbedSigWord", "u16"),
    (0x7E, "drEmbedExtent", _HFS_EXTENT),
    (0x82, "drXTFlSize", "u32"),
    (0x86, "drXTExtRec", (_HFS_EXTENT, 3)),
    (0x92, "drCTFlSize", "u32"),
    (0x96, "drCTExtRec", (_HFS_EXTENT, 3)),
)

# Catalog and attribute keys end after their names, and so do threads in HFS+.
HFS_CATALOG_KEY = _table(
    "CatKeyRec",
    (0x00, "ckrKeyLen", "u8"),
    (0x01, "ckrResrv1", "u8"),
    (0x02, "ckrParID", "u32"),
    (0x06, "ckrCName.length", "u8"),
    aliases={"keyLength": "ckrKeyLen", "parentID": "ckrParID"},
    tail="ckrCName.text",
)
HFS_EXTENT_KEY = _table(
    "ExtKeyRec",
    (0x00, "xkrKeyLen", "u8"),
    (0x01, "xkrFkType", "u8"),
    (0x02, "xkrFNum", "u32"),
    (0x06, "xkrFABN", "u16"),
    aliases={"keyLength": "xkrKeyLen"},
)
HFS_DIRECTORY = _table(
    "CdrDirRec",
    (0x00, "cdrType", "s8"),
    (0x01, "cdrResrv2", "u8"),
    (0x02, "dirFlags", "u16"),
    (0x04, "dirVal", "u16"),
    (0x06, "dirDirID", "u32"),
    (0x0A, "dirCrDat", "u32"),
    (0x0E, "dirMdDat", "u32"),
    (0x12, "dirBkDat", "u32"),
    (0x16, "dirUsrInfo", _DINFO),
    (0x26, "dirFndrInfo", _DXINFO),
    (0x36, "dirResrv", ("u32", 4)),
    aliases={"recordType": "cdrType"},
)
HFS_FILE = _table(
    "CdrFilRec",
    (0x00, "cdrType", "s8"),
    (0x01, "cdrResrv2", "u8"),
    (0x02, "filFlags", "u8"),
    (0x03, "filTyp", "u8"),
    (0x04, "filUsrWds", _FINFO),
    (0x14, "filFlNum", "u32"),
    (0x18, "filStBlk", "u16"),
    (0x1A, "filLgLen", "u32"),
    (0x1E, "filPyLen", "u32"),
    (0x22, "filRStBlk", "u16"),
    (0x24, "filRLgLen", "u32"),
    (0x28, "filRPyLen", "u32"),
    (0x2C, "filCrDat", "u32"),
    (0x30, "filMdDat", "u32"),
    (0x34, "filBkDat", "u32"),
    (0x38, "filFndrInfo", _FXINFO),
    (0x48, "filClpSize", "u16"),
    (0x4A, "filExtRec", (_HFS_EXTENT, 3)),
    (0x56, "filRExtRec", (_HFS_EXTENT, 3)),
    (0x62, "filResrv", "u32"),
    aliases={"recordType": "cdrType"},
)
# Directory thread (type 3) and file thread (type 4) have one layout.
HFS_THREAD = _table(
    "CdrThdRec",
    (0x00, "cdrType", "s8"),
    (0x01, "cdrResrv2", "u8"),
    (0x02, "thdResrv", ("u32", 2)),
    (0x0A, "thdParID", "u32"),
    (0x0E, "thdCName", _STR31),
    aliases={"recordType": "cdrType"},
)

# --- HFS+ -----------------------------------------------------------------------------------

HFSPLUS_EXTENT = _table(
    "HFSPlusExtentDescriptor", (0x00, "startBlock", "u32"), (0x04, "blockCount", "u32")
)
HFSPLUS_EXTENT_RECORD = _table("HFSPlusExtentRecord", (0x00, "extents", (HFSPLUS_EXTENT, 8)))
HFSPLUS_FORK = _table(
    "HFSPlusForkData",
    (0x00, "logicalSize", "u64"),
    (0x08, "clumpSize", "u32"),
    (0x0C, "totalBlocks", "u32"),
    (0x10, "extents", (HFSPLUS_EXTENT, 8)),
)
VOLUME_HEADER = _table(
    "HFSPlusVolumeHeader",
    (0x000, "signature", "u16"),
    (0x002, "version", "u16"),
    (0x004, "attributes", "u32"),
    (0x008, "lastMountedVersion", "u32"),
    (0x00C, "journalInfoBlock", "u32"),
    (0x010, "createDate", "u32"),
    (0x014, "modifyDate", "u32"),
    (0x018, "backupDate", "u32"),
    (0x01C, "checkedDate", "u32"),
    (0x020, "fileCount", "u32"),
    (0x024, "folderCount", "u32"),
    (0x028, "blockSize", "u32"),
    (0x02C, "totalBlocks", "u32"),
    (0x030, "freeBlocks", "u32"),
    (0x034, "nextAllocation", "u32"),
    (0x038, "rsrcClumpSize", "u32"),
    (0x03C, "dataClumpSize", "u32"),
    (0x040, "nextCatalogID", "u32"),
    (0x044, "writeCount", "u32"),
    (0x048, "encodingsBitmap", "u64"),
    (0x050, "finderInfo", ("u32", 8)),
    (0x070, "allocationFile", HFSPLUS_FORK),
    (0x0C0, "extentsFile", HFSPLUS_FORK),
    (0x110, "catalogFile", HFSPLUS_FORK),
    (0x160, "attributesFile", HFSPLUS_FORK),
    (0x1B0, "startupFile", HFSPLUS_FORK),
)

HFSPLUS_CATALOG_KEY = _table(
    "HFSPlusCatalogKey",
    (0x00, "keyLength", "u16"),
    (0x02, "parentID", "u32"),
    (0x06, "nodeName.length", "u16"),
    tail="nodeName.unicode",
)
HFSPLUS_EXTENT_KEY = _table(
    "HFSPlusExtentKey",
    (0x00, "keyLength", "u16"),
    (0x02, "forkType", "u8"),
    (0x03, "pad", "u8"),
    (0x04, "fileID", "u32"),
    (0x08, "startBlock", "u32"),
)
HFSPLUS_ATTRIBUTE_KEY = _table(
    "HFSPlusAttrKey",
    (0x00, "keyLength", "u16"),
    (0x02, "pad", "u16"),
    (0x04, "fileID", "u32"),
    (0x08, "startBlock", "u32"),
    (0x0C, "attrNameLen", "u16"),
    tail="attrName",
)
_PERMISSIONS = _table(
    "HFSPlusBSDInfo",
    (0x00, "ownerID", "u32"),
    (0x04, "groupID", "u32"),
    (0x08, "adminFlags", "u8"),
    (0x09, "ownerFlags", "u8"),
    (0x0A, "fileMode", "u16"),
    (0x0C, "special", "u32"),  # iNodeNum, linkCount or rawDevice
    aliases={"mode": "fileMode"},
)
HFSPLUS_FOLDER = _table(
    "HFSPlusCatalogFolder",
    (0x00, "recordType", "u16"),
    (0x02, "flags", "u16"),
    (0x04, "valence", "u32"),
    (0x08, "folderID", "u32"),
    (0x0C, "createDate", "u32"),
    (0x10, "contentModDate", "u32"),
    (0x14, "attributeModDate", "u32"),
    (0x18, "accessDate", "u32"),
    (0x1C, "backupDate", "u32"),
    (0x20, "permissions", _PERMISSIONS),
    (0x30, "userInfo", _DINFO),
    (0x40, "finderInfo", _DXINFO),
    (0x50, "textEncoding", "u32"),
    (0x54, "reserved", "u32"),  # HFSX: folderCount
    aliases={"folderCount": "reserved", "permissions.mode": "permissions.fileMode"},
)
HFSPLUS_FILE = _table(
    "HFSPlusCatalogFile",
    (0x00, "recordType", "u16"),
    (0x02, "flags", "u16"),
    (0x04, "reserved1", "u32"),  # first link of a chain
    (0x08, "fileID", "u32"),
    (0x0C, "createDate", "u32"),
    (0x10, "contentModDate", "u32"),
    (0x14, "attributeModDate", "u32"),
    (0x18, "accessDate", "u32"),
    (0x1C, "backupDate", "u32"),
    (0x20, "permissions", _PERMISSIONS),
    (0x30, "userInfo", _FINFO),
    (0x40, "finderInfo", _FXINFO),
    (0x50, "textEncoding", "u32"),
    (0x54, "reserved2", "u32"),
    (0x58, "dataFork", HFSPLUS_FORK),
    (0xA8, "resourceFork", HFSPLUS_FORK),
    aliases={"permissions.mode": "permissions.fileMode"},
)
HFSPLUS_THREAD = _table(
    "HFSPlusCatalogThread",
    (0x00, "recordType", "u16"),
    (0x02, "reserved", "u16"),
    (0x04, "parentID", "u32"),
    (0x08, "nodeName.length", "u16"),
    tail="nodeName.unicode",
)
ATTRIBUTE_INLINE = _table(
    "HFSPlusAttrData",
    (0x00, "recordType", "u32"),
    (0x04, "reserved", ("u32", 2)),
    (0x0C, "attrSize", "u32"),
    tail="attrData",
)
ATTRIBUTE_FORK = _table(
    "HFSPlusAttrForkData",
    (0x00, "recordType", "u32"),
    (0x04, "reserved", "u32"),
    (0x08, "theFork", HFSPLUS_FORK),
)
ATTRIBUTE_EXTENTS = _table(
    "HFSPlusAttrExtents",
    (0x00, "recordType", "u32"),
    (0x04, "reserved", "u32"),
    (0x08, "extents", (HFSPLUS_EXTENT, 8)),
)
JOURNAL_INFO_BLOCK = _table(
    "JournalInfoBlock",
    (0x00, "flags", "u32"),
    (0x04, "device_signature", ("u32", 8)),
    (0x24, "offset", "u64"),
    (0x2C, "size", "u64"),
    (0x34, "reserved", ("u32", 32)),
)
JOURNAL_HEADER = _table(
    "journal_header",
    (0x00, "magic", "u32"),
    (0x04, "endian", "u32"),
    (0x08, "start", "u64"),
    (0x10, "end", "u64"),
    (0x18, "size", "u64"),
    (0x20, "blhdr_size", "u32"),
    (0x24, "checksum", "u32"),
    (0x28, "jhdr_size", "u32"),
)

# --- Partition maps -------------------------------------------------------------------------

BLOCK0 = _table(
    "Block0",
    (0x00, "sbSig", "u16"),
    (0x02, "sbBlkSize", "u16"),
    (0x04, "sbBlkCount", "u32"),
    (0x08, "sbDevType", "u16"),
    (0x0A, "sbDevId", "u16"),
    (0x0C, "sbData", "u32"),
    (0x10, "sbDrvrCount", "u16"),
)
PARTITION_MAP_ENTRY = _table(
    "Partition",
    (0x00, "pmSig", "u16"),
    (0x02, "pmSigPad", "u16"),
    (0x04, "pmMapBlkCnt", "u32"),
    (0x08, "pmPyPartStart", "u32"),
    (0x0C, "pmPartBlkCnt", "u32"),
    (0x10, "pmPartName", "32s"),
    (0x30, "pmParType", "32s"),
    (0x50, "pmLgDataStart", "u32"),
    (0x54, "pmDataCnt", "u32"),
    (0x58, "pmPartStatus", "u32"),
)
_OLD_ENTRY = _table(
    "OldPartition", (0x00, "pdStart", "u32"), (0x04, "pdSize", "u32"), (0x08, "pdFSID", "u32")
)
PARTITION_MAP_OLD = _table(
    "OldPartitionMap", (0x00, "pdSig", "u16"), (0x02, "pdEntry", (_OLD_ENTRY, 42))
)
