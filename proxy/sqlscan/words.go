package sqlscan

// word is a keyword or name that means something here. Its text is in words, so that adding one takes a constant and a line.
type word uint8

const (
	noWord word = iota
	wAbort
	wAggregate
	wAll
	wAlter
	wAnalyse
	wAnalyze
	wAs
	wAtomic
	wAuthorization
	wBegin
	wCall
	wCatalog
	wCharacteristics
	wClose
	wCommit
	wConstraints
	wCopy
	wCreate
	wCurrent
	wDatabase
	wDeallocate
	wDeclare
	wDefault
	wDeferrable
	wDelete
	wDiscard
	wDo
	wEnd
	wExecute
	wExplain
	wFalse
	wFetch
	wFor
	wFrom
	wFunction
	wGlobal
	wGroup
	wHold
	wInsert
	wInto
	wIsolation
	wLevel
	wListen
	wLoad
	wLocal
	wMapping
	wMerge
	wMove
	wNames
	wNot
	wNotify
	wNull
	wOnly
	wOption
	wOr
	wPrepare
	wPrepared
	wProcedure
	wRead
	wRelease
	wReplace
	wReset
	wRole
	wRollback
	wRoutine
	wSavepoint
	wSchema
	wSelect
	wSession
	wSet
	wShow
	wStart
	wSystem
	wTable
	wTemp
	wTemporary
	wTime
	wTo
	wTransaction
	wTrue
	wUnlisten
	wUpdate
	wUser
	wVacuum
	wValues
	wVerbose
	wWith
	wWork
	wWrite
	wXML
	wZone
	// Names of functions and schemas.
	wAdvisoryLock
	wAdvisoryUnlock
	wPgTemp
	wRunsText
	wSequenceValue
	wSetConfig
)

var words = map[string]word{
	"abort": wAbort, "aggregate": wAggregate, "all": wAll, "alter": wAlter, "analyse": wAnalyse, "analyze": wAnalyze,
	"as": wAs, "atomic": wAtomic, "authorization": wAuthorization, "begin": wBegin, "call": wCall, "catalog": wCatalog,
	"characteristics": wCharacteristics, "close": wClose, "commit": wCommit, "constraints": wConstraints, "copy": wCopy,
	"create": wCreate, "current": wCurrent, "database": wDatabase, "deallocate": wDeallocate, "declare": wDeclare,
	"default": wDefault, "deferrable": wDeferrable, "delete": wDelete, "discard": wDiscard, "do": wDo, "end": wEnd,
	"execute": wExecute, "explain": wExplain, "false": wFalse, "fetch": wFetch, "for": wFor, "from": wFrom,
	"function": wFunction, "global": wGlobal, "group": wGroup, "hold": wHold, "insert": wInsert, "into": wInto,
	"isolation": wIsolation, "level": wLevel, "listen": wListen, "load": wLoad, "local": wLocal, "mapping": wMapping,
	"merge": wMerge, "move": wMove, "names": wNames, "not": wNot, "notify": wNotify, "null": wNull, "only": wOnly,
	"option": wOption, "or": wOr, "prepare": wPrepare, "prepared": wPrepared, "procedure": wProcedure, "read": wRead,
	"release": wRelease, "replace": wReplace, "reset": wReset, "role": wRole, "rollback": wRollback, "routine": wRoutine,
	"savepoint": wSavepoint, "schema": wSchema, "select": wSelect, "session": wSession, "set": wSet, "show": wShow,
	"start": wStart, "system": wSystem, "table": wTable, "temp": wTemp, "temporary": wTemporary, "time": wTime, "to": wTo,
	"transaction": wTransaction, "true": wTrue, "unlisten": wUnlisten, "update": wUpdate, "user": wUser,
	"vacuum": wVacuum, "values": wValues, "verbose": wVerbose, "with": wWith, "work": wWork, "write": wWrite,
	"xml": wXML, "zone": wZone,

	"pg_advisory_lock": wAdvisoryLock, "pg_advisory_lock_shared": wAdvisoryLock,
	"pg_try_advisory_lock": wAdvisoryLock, "pg_try_advisory_lock_shared": wAdvisoryLock,
	"pg_advisory_unlock": wAdvisoryUnlock, "pg_advisory_unlock_shared": wAdvisoryUnlock,
	"pg_advisory_unlock_all": wAdvisoryUnlock,
	"pg_temp":                wPgTemp,
	"currval":                wSequenceValue, "lastval": wSequenceValue,
	"query_to_xml": wRunsText, "query_to_xmlschema": wRunsText, "query_to_xml_and_xmlschema": wRunsText,
	"ts_rewrite": wRunsText, "ts_stat": wRunsText,
	"set_config": wSetConfig,
}

// table holds words by a hash of a few bytes, in the first free place from there on: far cheaper than a map, for which every
// text would have to be copied to lower case and hashed whole. It is a quarter full.
var table = func() (t [tableSize]struct {
	text string
	word word
}) {
	for text, w := range words {
		h := hash([]byte(text))
		for t[h].text != "" {
			h = (h + 1) % tableSize
		}
		t[h].text, t[h].word = text, w
	}
	return t
}()

const tableSize = 512

// hash depends on the length and three letters, in any case.
func hash(text []byte) uint {
	first, middle, last := uint(text[0]&31), uint(text[len(text)/2]&31), uint(text[len(text)-1]&31)
	return (first*89 + middle*37 + last*7 + uint(len(text))*131) % tableSize
}

// lookup returns the word that text, which is not empty, is in any case, or noWord.
func lookup(text []byte) word {
	for h := hash(text); ; h = (h + 1) % tableSize {
		switch w := &table[h]; {
		case w.text == "":
			return noWord
		case equalFold(text, w.text):
			return w.word
		}
	}
}

// watched are the words that mean something wherever they stand in a statement. The table has, for each first letter, one
// bit for every length of such a word, so that almost every identifier of a query is passed over without a look-up.
var watched = func() (t [256]uint32) {
	for text, w := range words {
		if w >= wAdvisoryLock || w == wTemp || w == wTemporary || w == wExecute {
			t[text[0]] |= 1 << len(text)
			t[text[0]-'a'+'A'] |= 1 << len(text)
		}
	}
	return t
}()

// isTempSchema reports whether name is pg_temp or the name of a session's own temporary schema, pg_temp_3.
func isTempSchema(name []byte) bool {
	const prefix = "pg_temp"
	return len(name) >= len(prefix) && equalFold(name[:len(prefix)], prefix) &&
		(len(name) == len(prefix) || name[len(prefix)] == '_')
}
