// XEP-0198 through the proxy: counters are exact, nothing is lost or doubled when a connection breaks,
// also where a join was answered in Prosody's place.
'use strict';
const assert = require('node:assert/strict');
const { scenario } = require('../../lib/scenario');
const { NS, of, item } = require('../../lib/stanza');

scenario('stream management', { recorder: true }, (d, it) => {
  let marks = 0;
  async function resumable(as = {}, options = {}) {
    const mark = `s${++marks}`;
    const room = options.room || await d.room();
    const client = await d.connect({ room, name: mark, as, parameters: { mark } });
    await client.enableResumption();
    return { room, client, mark };
  }
  // What the server says it has, on request.
  async function acknowledged(client) {
    const from = client.received.length;
    client.raw(`<r xmlns='${NS.sm}'/>`);
    return Number((await client.waitFor('<a/>', of.named('a', NS.sm), undefined, from)).attrs.h);
  }
  const resume = (old, room, as = {}) => d.connect({ room, as, resumes: old, name: `${old.name}'` });

  it('counters are what they are without the proxy', async () => {
    const { room, client } = await resumable();
    await client.enter(room);
    client.say(room, 'one');
    await client.waitFor('it', of.message('one'));
    await client.ping();
    assert.equal(await acknowledged(client), client.sm.outbound);
  });

  it('the connection breaks: what was said meanwhile comes, once and in order', async () => {
    const { room, client } = await resumable();
    await client.enter(room);
    await client.drop();
    const other = await d.plain(room, 'other');
    await other.enter(room);
    for (let i = 0; i < 20; i++) other.say(room, `m${i}`);
    await other.waitFor('the last', of.message('m19'));
    const back = await resume(client, room);
    await back.waitFor('the last of it', of.message('m19'));
    await back.ping();
    const heard = back.received.map(({ el }) => el.is('message') && el.getChildText('body')).filter((text) => /^m\d+$/.test(text));
    assert.deepEqual(heard, Array.from({ length: 20 }, (_, i) => `m${i}`));
    assert.equal(back.jid, client.jid);
    assert.equal(await acknowledged(back), back.sm.outbound);
  });

  it('what the client had sent unacknowledged arrives once', async () => {
    const { room, client, mark } = await resumable();
    await client.enter(room);
    const other = await d.plain(room, 'other');
    await other.enter(room);
    const tap = await d.recorder.of(mark);
    tap.isMuted = true; // lost on the way
    client.say(room, 'lost and found');
    await client.drop();
    const back = await resume(client, room);
    await other.waitFor('it', of.message('lost and found'));
    await back.ping();
    await other.ping();
    assert.equal(other.received.filter(({ el }) => of.message('lost and found')(el)).length, 1);
    assert.equal(await acknowledged(back), back.sm.outbound);
  });

  it('a refused join is counted as the client sees it, before and after resumption', async () => {
    const room = `nowhere@${d.muc}`;
    const { client } = await resumable({ lobby: true }, { room });
    const { error } = await client.join(room);
    assert.equal(error.condition, 'item-not-found');
    await client.ping();
    assert.equal(await acknowledged(client), client.sm.outbound);
    await client.drop();
    const back = await resume(client, room, { lobby: true });
    await back.ping();
    assert.equal(await acknowledged(back), back.sm.outbound);
    assert.equal((await back.join(room)).error.condition, 'item-not-found');
    await back.ping();
    assert.equal(await acknowledged(back), back.sm.outbound);
    await back.drop();
    const again = await resume(back, room, { lobby: true });
    await again.ping();
    assert.equal(await acknowledged(again), again.sm.outbound);
  });

  it('a resumed stream joins as its token says', async () => {
    const { room, client } = await resumable();
    await (await d.asker(room, 'asker')).enterLobby(room);
    await client.drop();
    const back = await resume(client, room);
    assert.equal(item((await back.enter(room)).el).affiliation, 'member');
  });

  it('a new token at resumption counts from then on', async () => {
    const { room, client } = await resumable();
    await client.drop();
    const back = await resume(client, room, { lobby: true });
    await back.enterLobby(room);
    assert.equal((await d.state(room)).members_only, true);
  });

  it('resumed again and again', async () => {
    const { room, client } = await resumable();
    await client.enter(room);
    let current = client;
    for (let i = 0; i < 5; i++) {
      current.say(room, `round ${i}`);
      await current.drop();
      current = await resume(current, room);
      await current.waitFor('its words', of.message(`round ${i}`));
      await current.ping();
      assert.equal(await acknowledged(current), current.sm.outbound);
    }
  });
});
