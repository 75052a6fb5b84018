package car

import (
	"fmt"
	"time"

	"github.com/headunit-agent/headunit/canbus/e2e"
)

const ms = time.Millisecond

// The messages of the car (can.md sections 9.1 and 14).
var (
	airbag01 = &message{name: "Airbag_01", id: 0x040, bus: drive, len: 8, cycle: 40 * ms, e2e: vw(0x040, 8), signals: []signal{
		{name: "AB_Front_Crash", start: 16, size: 1},
		{name: "AB_Heck_Crash", start: 17, size: 1},
		{name: "AB_SF_Crash", start: 18, size: 1},
		{name: "AB_SB_Crash", start: 19, size: 1},
		{name: "AB_Rollover_Crash", start: 20, size: 1},
		{name: "AB_Crash_Int", start: 21, size: 3},
		{name: "AB_Diagnose", start: 28, size: 1},
		{name: "AB_Stellgliedtest", start: 29, size: 1},
		{name: "AB_Deaktivierung_HV", start: 42, size: 3},
		{name: "AB_EDR_Trigger", start: 45, size: 2},
	}}
	airbag02 = &message{name: "Airbag_02", id: 0x520, bus: drive, len: 8, cycle: 500 * ms, signals: []signal{
		{name: "AB_Gurtschloss_FA", start: 40, size: 2},
		{name: "AB_Gurtschloss_BF", start: 42, size: 2},
		{name: "AB_Gurtschloss_Reihe2_FA", start: 44, size: 2},
		{name: "AB_Gurtschloss_Reihe2_MI", start: 46, size: 2},
		{name: "AB_Gurtschloss_Reihe2_BF", start: 48, size: 2},
	}}
	esp21 = &message{name: "ESP_21", id: 0x0FD, bus: drive, len: 8, cycle: 20 * ms, e2e: vw(0x0FD, 8), signals: []signal{
		{name: "ESP_v_Signal", start: 32, size: 16, factor: 0.01, na: 65534},
		{name: "ESP_QBit_v_Signal", start: 55, size: 1},
	}}
	klemmen = &message{name: "Klemmen_Status_01", id: 0x3C0, bus: drive, len: 4, cycle: 100 * ms, e2e: vw(0x3C0, 4), signals: []signal{
		{name: "ZAS_Kl_S", start: 16, size: 1},
		{name: "ZAS_Kl_15", start: 17, size: 1},
		{name: "ZAS_Kl_X", start: 18, size: 1},
		{name: "ZAS_Kl_50", start: 19, size: 1},
	}}
	gateway73 = &message{name: "Gateway_73", id: 0x3DC, bus: drive, len: 8, cycle: 100 * ms, signals: []signal{
		{name: "GE_Fahrstufe", start: 40, size: 4, na: 15},
		{name: "EPB_Status", start: 53, size: 3, na: 7},
	}}
	lichtAnf = &message{name: "Licht_Anf_01", id: 0x3D5, bus: drive, len: 8, cycle: 100 * ms, e2e: vw(0x3D5, 8), signals: []signal{
		{name: "Standlicht", start: 14, size: 1},
		{name: "Abblendlicht", start: 15, size: 1},
		{name: "Fernlicht", start: 16, size: 1},
		{name: "Nebellicht", start: 17, size: 1},
		{name: "Nebelschluss_Fzg", start: 21, size: 1},
		{name: "Rueckfahrlicht", start: 23, size: 1},
		{name: "Tagfahrlicht", start: 26, size: 1},
	}}
	kombi01 = &message{name: "Kombi_01", id: 0x30B, bus: drive, len: 8, cycle: 40 * ms, signals: []signal{
		{name: "KBI_Tankwarnung", start: 16, size: 1},
		{name: "KBI_angez_Geschw", start: 48, size: 10, factor: 0.32, na: 1022},
	}}
	systeminfo = &message{name: "Systeminfo_01", id: 0x585, bus: drive, len: 8, cycle: 500 * ms, signals: []signal{
		{name: "SI_Diagnose_Aktiv", start: 7, size: 1},
		{name: "SI_T_Mode", start: 9, size: 1},
		{name: "SI_T_Schutz", start: 14, size: 1},
	}}
	kombi02 = &message{name: "Kombi_02", id: 0x6B7, bus: drive, len: 8, cycle: time.Second, signals: []signal{
		{name: "KBI_Kilometerstand", start: 0, size: 20, na: 1048574},
		{name: "KBI_Inhalt_Tank", start: 40, size: 7},
		{name: "KBI_QBit_Aussen_Temp_gef", start: 55, size: 1},
		{name: "KBI_Aussen_Temp_gef", start: 56, size: 8, factor: 0.5, offset: -50, na: 254},
	}}
	kombi03 = &message{name: "Kombi_03", id: 0x6B8, bus: drive, len: 8, cycle: time.Second, signals: []signal{
		{name: "KBI_Tankfuellstand_Prozent", start: 18, size: 7, na: 126},
		{name: "KBI_Tankinhalt_hochaufl", start: 26, size: 14, factor: 0.01, na: 16382},
	}}
	wiv = &message{name: "WIV_01", id: 0x642, bus: drive, len: 8, cycle: time.Second, signals: []signal{
		{name: "WIV_t_min", start: 32, size: 6},
		{name: "WIV_t_max", start: 40, size: 6},
		{name: "WIV_W_min", start: 48, size: 7, factor: 1000},
		{name: "WIV_W_max", start: 56, size: 7, factor: 1000},
	}}

	diagnose = &message{name: "Diagnose_01", id: 0x6B2, bus: body, len: 8, cycle: time.Second, signals: []signal{
		{name: "KBI_Kilometerstand", start: 8, size: 20, na: 1048574},
		{name: "UH_Jahr", start: 28, size: 7, offset: 2000},
		{name: "UH_Monat", start: 35, size: 4},
		{name: "UH_Tag", start: 39, size: 5},
		{name: "UH_Stunde", start: 44, size: 5},
		{name: "UH_Minute", start: 49, size: 6},
		{name: "UH_Sekunde", start: 55, size: 6},
		{name: "Kombi_02_alt", start: 62, size: 1},
		{name: "Uhrzeit_01_alt", start: 63, size: 1},
	}}
	vin01 = &message{name: "VIN_01", id: 0x6B4, bus: body, len: 8, cycle: 500 * ms, signals: vinSignals()}
	zv02  = &message{name: "ZV_02", id: 0x583, bus: body, len: 8, cycle: 200 * ms, signals: []signal{
		{name: "ZV_verriegelt_intern_ist", start: 16, size: 1},
		{name: "ZV_verriegelt_extern_ist", start: 17, size: 1},
		{name: "ZV_verriegelt_intern_soll", start: 18, size: 1},
		{name: "ZV_verriegelt_extern_soll", start: 19, size: 1},
		{name: "ZV_gesafet_extern_ist", start: 20, size: 1},
		{name: "ZV_FT_offen", start: 24, size: 1},
		{name: "ZV_BT_offen", start: 25, size: 1},
		{name: "ZV_HFS_offen", start: 26, size: 1},
		{name: "ZV_HBFS_offen", start: 27, size: 1},
		{name: "ZV_HD_offen", start: 28, size: 1},
		{name: "ZV_HS_offen", start: 29, size: 1},
		{name: "DWA_aktiv", start: 31, size: 1},
		{name: "HD_Hauptraste", start: 32, size: 1},
		{name: "ZV_Schluessel_Zugang", start: 42, size: 4},
		{name: "FBS_Warn_Schluessel_Batt", start: 47, size: 1},
		{name: "ZV_ist_Zustand_verfuegbar", start: 54, size: 1},
		{name: "ZV_Tankklappe_offen", start: 56, size: 1},
	}}
	blinkmodi = &message{name: "Blinkmodi_02", id: 0x366, bus: body, len: 8, cycle: time.Second, signals: []signal{
		{name: "BM_ZV_auf", start: 12, size: 1},
		{name: "BM_ZV_zu", start: 13, size: 1},
		{name: "BM_DWA_ein", start: 14, size: 1},
		{name: "BM_DWA_Alarm", start: 15, size: 1},
		{name: "BM_Crash", start: 16, size: 1},
		{name: "BM_Panik", start: 17, size: 1},
		{name: "BM_Warnblinken", start: 20, size: 1},
		{name: "BM_Telematik", start: 22, size: 1},
		{name: "BM_links", start: 23, size: 1},
		{name: "BM_rechts", start: 24, size: 1},
		{name: "Blinken_li_Fzg_Takt", start: 25, size: 1},
		{name: "Blinken_re_Fzg_Takt", start: 26, size: 1},
		{name: "BM_Telematik_Abbruchgrund", start: 38, size: 6},
		{name: "DWA_Alarmquelle", start: 59, size: 5, na: 31},
	}}
	bcm01 = &message{name: "BCM_01", id: 0x65A, bus: body, len: 8, cycle: 500 * ms, signals: []signal{
		{name: "BCM1_MH_Schalter", start: 31, size: 1},
		{name: "BCM1_MH_WIV_Schalter", start: 32, size: 1},
	}}
	klimaSensor = &message{name: "Klima_Sensor_02", id: 0x5E1, bus: body, len: 8, cycle: 200 * ms, signals: []signal{
		{name: "BCM1_Aussen_Temp_ungef", start: 0, size: 8, factor: 0.5, offset: -50, na: 254},
	}}
	wfs = &message{name: "WFS_01", id: 0x551, bus: body, len: 8, cycle: 500 * ms, signals: []signal{
		{name: "WFS_Schluessel_Fahrberecht", start: 0, size: 4},
	}}
	doorMessages = [doors]*message{
		doorMessage("TSG_FT_01", "FT", 0x3D0), doorMessage("TSG_BT_01", "BT", 0x3D1),
		doorMessage("TSG_HFS_01", "HFS", 0x3CE), doorMessage("TSG_HBFS_01", "HBFS", 0x3CF),
	}
	sth = &message{name: "STH_01", id: 0x521, bus: body, len: 8, cycle: time.Second, signals: []signal{
		{name: "STH_Zusatzheizung", start: 2, size: 1},
		{name: "STH_Geblaese", start: 5, size: 1},
		{name: "STH_Fehlerstatus", start: 37, size: 3},
		{name: "STH_Wassertemp", start: 48, size: 8, factor: 0.75, offset: -40},
	}}
	tm01 = &message{name: "TM_01", id: 0x5A7, bus: body, len: 8, signals: []signal{
		{name: "TM_Spiegel_Anklappen", start: 47, size: 1},
		{name: "TM_Nur_Hupen", start: 48, size: 1},
		{name: "TM_Door_Lock", start: 49, size: 1},
		{name: "TM_Door_Unlock", start: 50, size: 1},
		{name: "TM_Warnblinken", start: 51, size: 1},
		{name: "TM_Panik_Alarm", start: 52, size: 1},
		{name: "TM_ZV_Signatur", start: 53, size: 11},
	}}

	auxReq = &message{name: "REF_Aux_Req", id: 0x6F0, bus: body, len: 8, e2e: constant(0xF0), signals: []signal{
		{name: "REF_Aux_Cmd", start: 12, size: 2},
		{name: "REF_Aux_Mode", start: 14, size: 2},
		{name: "REF_Aux_Minutes", start: 16, size: 6},
	}}
	auxState = &message{name: "REF_Aux_State", id: 0x6F1, bus: body, len: 8, cycle: 500 * ms, e2e: constant(0xF1), signals: []signal{
		{name: "REF_Aux_Active", start: 12, size: 2},
		{name: "REF_Aux_Refusal", start: 16, size: 4},
		{name: "REF_Aux_Remaining", start: 24, size: 6, na: 63},
		{name: "REF_Aux_RunOn", start: 30, size: 1},
		{name: "REF_Batt_V", start: 32, size: 8, factor: 0.1, na: 254},
	}}
	keysMessage = &message{name: "REF_Keys", id: 0x6F2, bus: body, len: 8, cycle: 200 * ms, e2e: constant(0xF2), signals: []signal{
		{name: "REF_Key_Id", start: 12, size: 4},
		{name: "REF_Key_Button", start: 16, size: 3},
		{name: "REF_Key_Valid", start: 19, size: 1},
		{name: "REF_Key_BattLow", start: 20, size: 1},
		{name: "REF_Listen", start: 21, size: 1},
		{name: "REF_Keys_Learned", start: 22, size: 4},
		{name: "REF_Key_Press", start: 32, size: 16},
	}}
	keyListen = &message{name: "REF_KeyListen", id: 0x6F3, bus: body, len: 4, e2e: constant(0xF3), signals: []signal{
		{name: "REF_Listen_Req", start: 16, size: 1},
	}}
	sosMessage = &message{name: "REF_SOS", id: 0x6F4, bus: body, len: 8, cycle: 500 * ms, e2e: constant(0xF4), signals: []signal{
		{name: "REF_SOS_Pressed", start: 16, size: 1},
	}}

	hv01 = &message{name: "REF_HV_01", id: 0x2F0, bus: fd, fd: true, len: 64, cycle: 100 * ms, signals: hvSignals()}
)

// messages is the whole table, network management left out.
func messages() []*message {
	return append([]*message{
		airbag01, airbag02, esp21, klemmen, gateway73, lichtAnf, kombi01, systeminfo, kombi02, kombi03, wiv,
		diagnose, vin01, zv02, blinkmodi, bcm01, klimaSensor, wfs, sth, tm01,
		auxReq, auxState, keysMessage, keyListen, sosMessage, hv01,
	}, doorMessages[:]...)
}

func vw(id uint32, length int) *e2e.Config {
	c, ok := e2e.VW(id, length)
	if !ok {
		panic(fmt.Sprintf("car: no end-to-end constants for %03X", id))
	}
	return &c
}

func constant(b byte) *e2e.Config {
	c := e2e.Constant(b)
	return &c
}

func doorMessage(name, prefix string, id uint32) *message {
	return &message{name: name, id: id, bus: body, len: 8, cycle: 200 * ms, signals: []signal{
		{name: prefix + "_Tuer_geoeffnet", start: 0, size: 1},
		{name: prefix + "_verriegelt", start: 1, size: 1},
		{name: prefix + "_gesafet", start: 2, size: 1},
		{name: prefix + "_FH_Oeffnung", start: 24, size: 8, factor: 0.5},
	}}
}

func vinSignals() []signal {
	s := []signal{{name: "VIN_01_MUX", start: 0, size: 2}}
	for i := range 4 {
		s = append(s, signal{name: fmt.Sprintf("KS_Geheimnis_%d", i+1), start: 8 + 8*i, size: 8, mux: 1})
	}
	for i := range 17 {
		mux, octet := 1, 5+i
		if i >= 3 {
			mux, octet = 2+(i-3)/7, 1+(i-3)%7
		}
		s = append(s, signal{name: fmt.Sprintf("VIN_%d", i+1), start: 8 * octet, size: 8, mux: mux})
	}
	return s
}

const cells = 32

func hvSignals() []signal {
	s := []signal{
		{name: "REF_SoC", start: 0, size: 8, factor: 0.5, na: 254},
		{name: "REF_HV_V", start: 8, size: 12, factor: 0.25},
		{name: "REF_HV_A", start: 20, size: 16, factor: 0.1, signed: true},
		{name: "REF_Range", start: 36, size: 16, factor: 0.1},
	}
	for i := range cells {
		s = append(s, signal{name: fmt.Sprintf("REF_Cell_%02d", i+1), start: 64 + 12*i, size: 12, factor: 0.001})
	}
	return append(s,
		signal{name: "REF_Float", start: 448, size: 32, float: true},
		signal{name: "REF_SoC_BE", start: 487, size: 8, factor: 0.5, big: true})
}
